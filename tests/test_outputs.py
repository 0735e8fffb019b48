"""`Engine.features` and `Engine.outputs`: what the network gives beside its picture."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from imagen_fast import load
from imagen_fast.backends import backend_class
from imagen_fast.backends.fake import Fake
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.engine import Engine
from imagen_fast.errors import BackendError, ImageError, TilingError
from imagen_fast.image.picture import Picture
from imagen_fast.spec import Level, ModelSpec

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (75, 61, 3), np.uint8)  # odd sides, neither a multiple of a window


@pytest.fixture(scope="module")
def engine(tiny_path: Path) -> Iterator[Engine]:
    with load(tiny_path, precision="fp32", threads=1) as engine:
        yield engine


def as_floats(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return image.astype(np.float32) / np.float32(255)


def test_features_are_the_reference_s_encoder_s(
    engine: Engine, tiny_bundle: Bundle, build: Callable[[Bundle], Any]
) -> None:
    import torch

    with torch.no_grad():
        x = torch.from_numpy(as_floats(IMAGE)).permute(2, 0, 1)[None]
        expected = build(tiny_bundle).features(x)
    found = engine.features(IMAGE)
    assert [x.shape for x in found] == [(75, 61, 32), (38, 31, 32)]
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y[0].permute(1, 2, 0).numpy(), atol=1e-4)


@pytest.mark.parametrize("backend", ["native", "eager", "onnxruntime"])
def test_features_of_every_backend(backend: str, engine: Engine, tiny_path: Path) -> None:
    if missing := backend_class(backend).missing():
        pytest.skip(missing)
    with load(tiny_path, backend, precision="fp32") as other:
        for x, y in zip(other.features(IMAGE), engine.features(IMAGE), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-4)


def test_levels_in_the_order_asked_for(engine: Engine) -> None:
    fine, coarse = engine.features(IMAGE)
    for levels, expected in (([1], [coarse]), ([1, 0, 1], [coarse, fine, coarse])):
        for x, y in zip(engine.features(IMAGE, levels), expected, strict=True):
            np.testing.assert_array_equal(x, y)


def test_parts_change_nothing(engine: Engine, tiny_path: Path) -> None:
    """Every output, on grids coarser and finer than the picture's."""
    names = list(engine.graph.outputs)
    with load(tiny_path, precision="fp32", tile=72, threads=1) as other:
        parts = other.outputs(IMAGE, names)
    for name, whole in engine.outputs(IMAGE, names).items():
        np.testing.assert_allclose(parts[name], whole, atol=1e-5, err_msg=name)


def test_levels_are_a_list(engine: Engine) -> None:
    with pytest.raises(BackendError, match=r"levels is 1; expected a list, \[1\]"):
        engine.features(IMAGE, 1)  # type: ignore[arg-type]


def test_pictures_of_every_kind(engine: Engine) -> None:
    (expected,) = engine.features(IMAGE, [1])
    alpha = np.full(IMAGE.shape[:2], 255, np.uint8)
    alpha[20:40, 20:40] = 0
    hidden = np.dstack([IMAGE, alpha])
    hidden[20:40, 20:40, :3] = 7  # what is stored under transparent pixels is not seen
    for same in (
        as_floats(IMAGE),
        IMAGE.astype(np.uint16) * 257,
        Image.fromarray(IMAGE),
        Picture(IMAGE),
    ):
        np.testing.assert_allclose(engine.features(same, [1])[0], expected, atol=1e-4)
    other = hidden.copy()
    other[20:40, 20:40, :3] = 200
    np.testing.assert_array_equal(engine.features(hidden, [1]), engine.features(other, [1]))
    grey = IMAGE[..., 0]
    np.testing.assert_array_equal(
        engine.features(grey, [1]), engine.features(np.dstack([grey] * 3), [1])
    )


def test_what_cannot_be(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"names is 'picture'; expected a list, \['picture'\]"):
        engine.outputs(np.zeros((8, 8, 3), np.uint8), "picture")
    for call, error, message in (
        (lambda: engine.features(IMAGE, [2]), BackendError, "no output 'features.2'; it has pic"),
        (lambda: engine.outputs(IMAGE, ["maps"]), BackendError, "no output 'maps'; it has picture"),
        (lambda: engine.features("photo.jpg"), ImageError, "a str; expected a Pillow image"),  # type: ignore[arg-type]
    ):
        with pytest.raises(error, match=message):
            call()
    spec = ModelSpec("plain", 2, (Level(32, depth=1, convs=1),))
    with pytest.raises(BackendError, match=r"has no features \(its outputs: picture\); expected"):
        Engine(Fake(Bundle(spec, {})), model="plain").features(IMAGE)


def test_a_closed_engine_says_so(tiny_bundle: Bundle) -> None:
    engine = Engine(Native(tiny_bundle))
    engine.close()
    with pytest.raises(BackendError, match="closed; load another"):
        engine.features(IMAGE)


def test_what_depends_on_the_whole_picture_is_not_computed_in_parts(
    bundle_of: Callable[..., Bundle],
) -> None:
    levels = (Level(16, convs=1), Level(16, convs=0, attention="global"))
    bundle = bundle_of(ModelSpec(scale=2, levels=levels, head_dim=16))
    whole = Engine(Native(bundle, precision="fp32"))
    parts = Engine(Native(bundle, precision="fp32"), tile=32, overlap=0)
    np.testing.assert_allclose(
        parts.features(IMAGE, [0])[0], whole.features(IMAGE, [0])[0], atol=1e-5
    )
    with pytest.raises(TilingError, match=r"'features\.1' depends on the whole picture"):
        parts.features(IMAGE)
    assert whole.features(IMAGE)[1].shape == (38, 31, 16)
