"""What stands on the page of `imagen-fast explain`: each figure against its definition."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagen_fast import load
from imagen_fast.backends import backend_class
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.errors import ImageError
from imagen_fast.graph import network
from imagen_fast.image.picture import Picture
from imagen_fast.model_file import load_model
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.tasks.explain import MAP_BYTES, explain

pytest.importorskip("imagen_fast._native", reason="the extension is not built")

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (70, 90, 3), np.uint8)
OPTIONS: dict[str, Any] = {"precision": "fp32", "threads": 1}


def data_of(page: str) -> dict[str, Any]:
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert text
    found: dict[str, Any] = json.loads(text[1])
    return found


def samples(url: str) -> NDArray[np.uint8]:
    import io

    kind, _, text = url.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def numbers(text: str, *shape: int) -> NDArray[np.float32]:
    """What is stored as bytes of square roots."""
    stored = np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)
    return (stored.astype(np.float32) / 255) ** 2


@pytest.fixture(scope="module")
def page(tiny_path: Path) -> str:
    return explain(
        tiny_path,
        Picture(PHOTO),
        "a</script>.png",
        side=40,
        at=(30, 20),
        gradients=False,
        **OPTIONS,
    )


def test_a_detail_and_what_the_model_makes_of_it(page: str, tiny_path: Path) -> None:
    data = data_of(page)
    part = PHOTO[:40, 10:50]
    assert (data["box"], data["size"]) == ([10, 0, 40, 40], [90, 70])
    assert data["name"] == "a</script>.png"
    np.testing.assert_array_equal(samples(data["input"]), part)
    with load(tiny_path, **OPTIONS) as engine:
        large = engine(part)
    np.testing.assert_array_equal(samples(data["output"]), large)
    _, repeated = data["baselines"]
    apart = np.abs(large.astype(float) - part.repeat(2, 0).repeat(2, 1))
    assert repeated["mean"] == pytest.approx(apart.mean(), abs=0.006)
    assert repeated["most"] == apart.max()


def test_attention_adds_up_to_one_in_the_windows_that_the_page_draws(
    page: str,
) -> None:
    maps = data_of(page)["maps"]
    assert [x["label"] for x in maps] == [
        *("encoder, level 0", "encoder, level 1", "decoder, level 1", "decoder, level 0"),
    ]
    assert [(x["pixel"], x["shift"], x["across"]) for x in maps] == [
        *((1, 0, False), (2, 0, False), (2, 4, True), (1, 4, True)),
    ]
    for x in maps:
        found = numbers(x["data"], x["height"], x["width"], x["heads"], x["window"] ** 2)
        np.testing.assert_allclose(found.sum(3), 1, atol=0.05)
        # Keys outside the detail, where the page draws nothing, have no part in it.
        keys = np.arange(x["window"])
        for y in (0, 7, x["height"] - 1):
            rows = (y + x["shift"]) // x["window"] * x["window"] - x["shift"] + keys
            outside = np.repeat((rows < 0) | (rows >= x["height"]), x["window"])
            assert found[y][..., outside].max(initial=0) == 0
            assert found[y][..., ~outside].max((0, 1)).min() > 0


def test_what_is_outside_the_reach_changes_nothing(page: str, tiny_path: Path) -> None:
    """And of what is inside something on each side does."""
    columns = data_of(page)["reach"][0]
    part = PHOTO[:40, 10:50].astype(np.float32) / 255
    with load(tiny_path, **OPTIONS) as engine:
        before = engine.run(part[None])
        for at in (0, 17, 39):
            first, last = columns[at]
            assert first <= at <= last
            other = part.copy()
            other[:, :first] = other[:, last + 1 :] = 0.5
            after = engine.run(other[None])
            np.testing.assert_allclose(
                after[:, :, 2 * at : 2 * at + 2], before[:, :, 2 * at : 2 * at + 2], atol=1e-6
            )


def test_gradients_are_differences() -> None:
    """Of trained weights: random ones leave 0 to 1, where what runs is clamped."""
    if missing := backend_class("eager").missing():
        pytest.skip(missing)
    from imagen_fast.backends.eager import Eager

    eager = Eager(load_model(resolve("sr-x2")), device="cpu", precision="fp32")
    image = RNG.uniform(0.4, 0.6, (1, 18, 21, 3)).astype(np.float32)
    found = eager.gradient(image, 9, 10)
    assert found.shape == (18, 21, 3)
    for y, x, channel in ((9, 10, 0), (8, 12, 2), (11, 9, 1)):
        step, outputs = np.float32(0.002), []
        for sign in (-1, 1):
            other = image.copy()
            other[0, y, x, channel] += sign * step
            outputs.append(eager.run(other)[0, 18:20, 20:22].mean(dtype=np.float64))
        expected = abs(outputs[1] - outputs[0]) / (2 * step)
        assert found[y, x, channel] == pytest.approx(expected, rel=0.1, abs=2e-4)


def test_gradients_on_the_page(tiny_path: Path) -> None:
    if missing := backend_class("eager").missing():
        pytest.skip(missing)
    data = data_of(explain(tiny_path, Picture(PHOTO), "a.png", side=24, **OPTIONS))
    assert data["missing"] == []
    assert len(data["influence"]) == 49
    for point in data["influence"]:
        found = numbers(point["data"], point["height"], point["width"])
        assert found.max() == 1
        y, x = np.unravel_index(found.argmax(), found.shape)
        assert max(abs(y + point["top"] - point["y"]), abs(x + point["left"] - point["x"])) <= 2
        (left, right), (top, bottom) = data["reach"][0][point["x"]], data["reach"][1][point["y"]]
        inside = np.zeros((24, 24), bool)
        inside[top : bottom + 1, left : right + 1] = True
        seen = inside[point["top"] :, point["left"] :][: point["height"], : point["width"]]
        assert found[~seen].max(initial=0) == 0
        assert 0 <= point["near"] <= 24


def test_the_whole_picture_reduced(tiny_path: Path) -> None:
    grey = Picture(PHOTO[..., :1])
    page = explain(tiny_path, grey, "a.png", side=32, whole=True, gradients=False, **OPTIONS)
    data = data_of(page)
    assert samples(data["input"]).shape == (25, 32, 3)
    assert data["whole"]
    assert data["box"] == [0, 0, 90, 70]


def test_what_a_network_lacks_is_said(tmp_path: Path) -> None:
    spec = ModelSpec("plain", 2, (Level(32, depth=1, convs=1),))
    shapes = network(spec).tensors.items()
    tensors = {name: 0.1 * RNG.standard_normal(shape, np.float32) for name, shape in shapes}
    path = tmp_path / "plain.safetensors"
    save_bundle(Bundle(spec, tensors), path)
    data = data_of(explain(path, Picture(PHOTO), "a.png", gradients=False, **OPTIONS))
    assert data["maps"] == []
    assert [text.partition(":")[0] for text in data["missing"]] == [
        *("Attention maps", "Gradients, which say what a pixel does depend on"),
    ]


def test_global_attention_can_reach_everything(
    bundle_of: Callable[..., Bundle], tmp_path: Path
) -> None:
    levels = (Level(32, convs=1), Level(32, convs=0, attention="global"))
    save_bundle(bundle_of(ModelSpec(scale=1, levels=levels)), tmp_path / "global.safetensors")
    path = tmp_path / "global.safetensors"
    data = data_of(explain(path, Picture(PHOTO), "a.png", gradients=False, **OPTIONS))
    assert data["reach"] == [None, None]
    assert [x["name"] for x in data["baselines"]] == ["the picture as it was"]
    assert [x["label"] for x in data["maps"]] == ["encoder, level 0", "decoder, level 0"]


def test_a_page_is_of_bounded_size(bundle_of: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = bundle_of(ModelSpec(scale=2, levels=(Level(128, convs=0),), head_dim=8, window=12))
    save_bundle(bundle, tmp_path / "wide.safetensors")
    photo = Picture(np.tile(PHOTO, (4, 4, 1)))
    page = explain(tmp_path / "wide.safetensors", photo, "a", gradients=False, **OPTIONS)
    assert 0.5 * MAP_BYTES < sum(len(x["data"]) for x in data_of(page)["maps"]) < 4 / 3 * MAP_BYTES
    assert len(page) < 1.5 * MAP_BYTES


def test_a_point_outside_the_picture(tiny_path: Path) -> None:
    with pytest.raises(ImageError, match=r"90,0 lies outside the picture of 90 × 70 pixels"):
        explain(tiny_path, Picture(PHOTO), "a.png", at=(90, 0), **OPTIONS)
