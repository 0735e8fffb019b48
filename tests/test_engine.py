"""The engine: pictures of every kind through tiles and a backend, and back."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise import noise
from numpy.typing import NDArray
from PIL import Image

from imagen_fast import load
from imagen_fast.backends.fake import Fake
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.engine import Engine
from imagen_fast.errors import BackendError, ImageError, TilingError, WeightsError
from imagen_fast.graph import Graph, Input, Operation, Output
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.resample import resize
from imagen_fast.spec import preset

Samples = NDArray[Any]


@pytest.fixture(scope="module")
def native(tiny_bundle: Bundle) -> Native:
    pytest.importorskip("imagen_fast._native", reason="the extension is not built")
    return Native(tiny_bundle, precision="fp32")


@pytest.fixture(scope="module")
def fake(tiny_bundle: Bundle) -> Engine:
    """Repeats pixels twice, in tiles of 32."""
    return Engine(Fake(tiny_bundle), tile=32, overlap=8)


def test_an_engine_computes_what_the_network_does(
    tiny_path: Path, tiny_bundle: Bundle, build: Callable[[Bundle], Any]
) -> None:
    import torch

    image = noise(20, 31, 3)
    with load(tiny_path, device="cpu", precision="fp32") as engine:
        output = engine(image)
    x = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    expected = build(tiny_bundle)(x)[0].clamp(0, 1).permute(1, 2, 0).numpy() * 255
    assert output.dtype == np.uint8
    assert np.abs(output - expected).max() <= 0.51  # rounding
    assert not np.array_equal(output, image.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (115, 150),  # odd; tiles in both directions
        (1, 300),  # one row
        (300, 1),  # one column
        (113, 112),  # one more than a tile, and a tile
        (70, 30),  # the tile is wider than the picture
        (1, 1),
    ],
)
def test_tiled_equals_whole(height: int, width: int, native: Native) -> None:
    tiled, whole = Engine(native, tile=112), Engine(native, tile=1000)
    assert tiled.info()["overlap"] == tiled.exact_overlap == 32
    smooth = resize(noise(height // 3 + 1, width // 3 + 1, 3), height, width).clip(0, 255)
    image = smooth.astype(np.uint8)
    errors = np.abs(tiled(image).astype(int) - whole(image))
    assert errors.max() <= 1
    assert errors.mean() < 1e-3  # a rounding here and there


def test_less_overlap_shows(native: Native) -> None:
    """Or else the test above would prove nothing."""
    image = resize(noise(40, 40, 3), 120, 120).clip(0, 255).astype(np.uint8)
    whole = Engine(native, tile=1000)(image).astype(int)
    assert np.abs(Engine(native, tile=96, overlap=16)(image) - whole).max() > 2
    assert np.abs(Engine(native, tile=96, overlap=0)(image) - whole).max() > 50


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("ours", [True, False])
def test_arrays_come_back_as_they_were(
    dtype: Any, channels: int | None, ours: bool, fake: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "ours", ours)
    shape = (40, 50) if channels is None else (40, 50, channels)
    image = noise(*shape, dtype=dtype)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    if channels in (2, 4):
        image[..., -1] = np.maximum(image[..., -1], top / 15)  # else colours change
    before = image.copy()
    output = fake(image)
    np.testing.assert_array_equal(image, before)
    assert (output.dtype, output.shape) == (dtype, (80, 100, *shape[2:]))
    expected = image.repeat(2, 0).repeat(2, 1)
    # Other people's networks may leave a haze where alpha is 0: theirs is enlarged without them.
    color = slice(None) if channels not in (2, 4) or ours else slice(channels - 1)
    # Grey and 16 bits pass through floats, which are exact enough to come back as they were.
    np.testing.assert_allclose(output[..., color], expected[..., color], rtol=1e-6)
    if channels in (2, 4) and not ours:
        alpha = resize(image[..., -1], 80, 100).clip(0, top)
        assert np.abs(output[..., -1] - alpha).max() <= (0 if dtype == np.float32 else 0.51)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_arrays_of_the_other_byte_order_are_taken(dtype: Any, fake: Engine) -> None:
    image = noise(6, 5, 4, dtype=dtype)
    output = fake(image.astype(image.dtype.newbyteorder()))
    assert output.dtype == dtype
    np.testing.assert_array_equal(output, fake(image))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2, 5), np.uint8), r"shape \(2, 2, 5\).*1 to 4 channels last"),
        (np.zeros((1, 3, 2, 2), np.uint8), "is not a picture"),
        (np.zeros(3, np.uint8), "is not a picture"),
        (np.zeros((0, 3), np.uint8), "at least one pixel"),
        (np.zeros((2, 2), np.float64), "array of float64.*expected uint8, uint16, or float32"),
        (np.zeros((2, 2), bool), "array of bool"),
        (np.full((2, 2), 255, np.float32), "between 0 and 1, these go from 255.0 to 255.0"),
        (np.full((2, 2), np.nan, np.float32), "between 0 and 1"),
        ("photo.jpg", "the picture is a str.*stylize take paths"),
        (None, "the picture is a NoneType"),
    ],
)
def test_what_is_no_picture(image: Any, message: str, fake: Engine) -> None:
    with pytest.raises(ImageError, match=message):
        fake(image)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pillow_images_keep_their_mode(mode: str, fake: Engine) -> None:
    image = Image.new(mode, (30, 20), 77 if len(mode) == 1 else None)
    image.info["dpi"] = (300, 300)
    output = fake(image)
    assert (output.mode, output.size) == (mode, (60, 40))
    assert output.info["dpi"] == (300, 300)


def test_pictures_keep_their_metadata(fake: Engine) -> None:
    metadata = Metadata(xmp=b"<x/>", dpi=(72.0, 72.0))
    picture = Picture(noise(9, 8, 1), noise(9, 8), metadata)
    output = fake(picture)
    assert output.metadata == metadata
    assert output.color.shape == (18, 16, 1)
    assert output.alpha is not None


def test_streamed_rows_are_the_picture(fake: Engine) -> None:
    picture = Picture(noise(150, 70, 3, dtype=np.uint16), noise(150, 70, dtype=np.uint16))
    strips = list(fake.stream(picture))
    whole = fake(picture)
    assert len(strips) > 4
    np.testing.assert_array_equal(np.concatenate(strips), np.dstack([whole.color, whole.alpha]))


def test_progress_is_told_tile_by_tile(fake: Engine) -> None:
    told: list[float] = []
    list(fake.stream(Picture(noise(40, 70, 3)), told.append))
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 1


def test_grey_stays_grey(native: Native) -> None:
    grey = noise(16, 24)
    color = native.run(np.dstack([grey] * 3)[None])[0].astype(np.float32)
    assert np.ptp(color, axis=2).max() > 1  # the network does not keep grey by itself
    assert np.abs(Engine(native)(grey) - color.mean(axis=2)).max() <= 0.51


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_equal_channels_are_enlarged_as_grey_is(dtype: Any, native: Native) -> None:
    """In tiles as well, and whichever way the picture comes in."""
    engine = Engine(native, tile=48, overlap=8)
    grey = noise(60, 90, dtype=dtype)
    expected, whole = np.dstack([engine(grey)] * 3), Engine(native)(grey)
    color = np.dstack([grey] * 3)
    np.testing.assert_array_equal(engine(color), expected)
    if dtype != np.uint16:
        np.testing.assert_array_equal(Engine(native).run(color[None])[0, ..., 0], whole)
    opaque = np.full((60, 90, 1), 1 if dtype == np.float32 else np.iinfo(dtype).max, dtype)
    np.testing.assert_array_equal(engine(np.dstack([color, opaque]))[..., :3], expected)
    if dtype != np.float32:
        np.testing.assert_array_equal(engine(Picture(color)).color, expected)
    if dtype == np.uint8:
        np.testing.assert_array_equal(np.asarray(engine(Image.fromarray(color))), expected)


def test_hatching_beside_colour_is_neutral_and_all_else_is_the_network_s() -> None:
    """Up to 2 pixels from colour the network decides; where the tiles lie does not matter."""
    y, x = np.mgrid[:80, :100]
    image = np.repeat(255 * ((x + y) % 3 == 0).astype(np.uint8)[..., None], 3, axis=2)
    image[20:40, 30:60] = noise(20, 30, 3)
    pytest.importorskip("imagen_fast._native", reason="the extension is not built")
    backend = Native(load_bundle(resolve("sr-x4")), precision="fp32")
    raw = backend.run(image[None])[0]
    near = np.zeros((80, 100), bool)
    near[18:42, 28:62] = True
    near = near.repeat(4, axis=0).repeat(4, axis=1)
    assert np.ptp(raw[~near].astype(int), axis=1).max() > 2
    for tile in (0, 64):
        large = Engine(backend, tile=tile)(image)
        assert np.ptp(large[~near].astype(int), axis=1).max() == 0
    np.testing.assert_array_equal(Engine(backend)(image)[near], raw[near])


def test_pictures_without_neutral_places_are_the_network_s(native: Native) -> None:
    image = noise(40, 50, 3)
    np.testing.assert_array_equal(Engine(native)(image), native.run(image[None])[0])


def test_sixteen_bits_are_kept(native: Native) -> None:
    image = noise(16, 16, 3, dtype=np.uint16)
    output = Engine(native)(image)
    exact = Engine(native)((image / 65535).astype(np.float32)) * 65535.0
    assert np.abs(output - exact).max() <= 0.51
    assert len(np.unique(output % 257)) > 200  # not 8 bits stretched


@pytest.mark.parametrize("hidden", [0, 255])
def test_no_ring_around_a_disc_on_transparency(hidden: int) -> None:
    """A disc on transparency whose hidden colour is the opposite, composited on its own."""
    y, x = np.mgrid[:64, :64] - 31.5
    alpha = np.clip(20.5 - np.hypot(x, y), 0, 1)
    disc = 255 - hidden
    image = np.full((64, 64, 4), hidden, np.uint8)
    image[alpha > 0, :3] = disc
    image[..., 3] = np.round(255 * alpha)
    for model in ("sr-x2", "sr-x4"):
        with load(model, device="cpu") as engine:
            output = engine(image).astype(np.float32)
        opacity = output[..., 3:] / 255
        composited = output[..., :3] * opacity + disc * (1 - opacity)
        assert np.abs(composited - disc).max() < 3


def test_threads_share_an_engine(native: Native) -> None:
    engine = Engine(native, tile=48, overlap=8)
    images = [noise(20 + 9 * i, 70, 3, seed=i) for i in range(4)]
    expected = [engine(image) for image in images]
    outputs: dict[int, Samples] = {}

    def work(index: int) -> None:
        outputs[index] = engine(images[index])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, output in enumerate(expected):
        np.testing.assert_array_equal(outputs[index], output)


def test_run_takes_batches(native: Native) -> None:
    batch = noise(2, 9, 11, 3)
    output = Engine(native).run(batch)
    assert output.shape == (2, 18, 22, 3)
    for one, both in zip(batch, output, strict=True):
        assert np.abs(Engine(native)(one).astype(int) - both).max() <= 1
    with pytest.raises(BackendError, match="the input holds infinities or NaN"):
        Engine(native).run(np.full((1, 8, 8, 3), np.nan, np.float32))
    for wrong in (batch[0], batch[..., :1], batch.astype(np.uint16), batch[:, :0]):
        with pytest.raises(BackendError, match="expected"):
            Engine(native).run(wrong)


def test_a_closed_engine_says_so(tiny_path: Path) -> None:
    with load(tiny_path, backend="fake") as engine:
        strips = engine.stream(Picture(noise(8, 8, 3)))
    engine.close()
    for use in (engine.info, lambda: engine(noise(8, 8)), lambda: next(strips)):
        with pytest.raises(BackendError, match="closed"):
            use()


def test_info_says_what_runs_and_why(tiny_path: Path) -> None:
    with load(tiny_path, device="cpu", threads=1) as engine:
        assert engine.info()["backend"] == "native"
        assert str(engine.info()["why"]).startswith("auto: ")
    with load(tiny_path, backend="native", precision="fp32", isa="generic", threads=1) as engine:
        info = engine.info()
    assert (info["model"], info["why"]) == ("sr-x2-test", "asked for")
    assert (info["backend"], info["device"], info["isa"]) == ("native", "cpu", "generic")
    assert (info["precision"], info["threads"], info["scale"]) == ("fp32", 1, 2)
    assert (info["tile"], info["overlap"]) == ("auto", 32)
    with pytest.raises(BackendError, match="no isa to choose"):
        load(tiny_path, backend="fake", isa="avx2")
    with load(tiny_path, backend="fake", tile=64) as engine:
        assert engine.info()["why"] == "asked for"
        assert (engine.info()["backend"], engine.info()["overlap"]) == ("fake", 16)  # a quarter


def test_info_names_the_libraries(tiny_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    with load(tiny_path, backend="eager", device="cpu", threads=1) as engine:
        versions = engine.info()["versions"]
    assert isinstance(versions, dict)
    assert versions["torch"] == torch.__version__


def test_sizes_of_tiles_are_checked_at_once(tiny_path: Path) -> None:
    for options, message in [
        ({"tile": -1}, "tile is -1; expected a size in pixels, or 0"),
        (
            {"tile": 7},
            "^a tile of 7 pixels is too small for this model; expected at least 16 pixels$",
        ),
        ({"tile": 8, "overlap": 20}, "too small .* at least 64 pixels with an overlap of 20"),
        ({"tile": 64, "overlap": 32}, "at least 80 pixels, or an overlap of at most 24"),
        ({"overlap": -3}, "overlap is -3"),
        ({"tile": "512"}, "tile is '512'; expected an int"),
        ({"tile": 1.5}, "tile is 1.5; expected an int"),
        ({"overlap": 8.0}, "overlap is 8.0; expected an int"),
        (
            {"overlap": 3000},
            "overlap of 3000 needs tiles of 6016 pixels, and those chosen here have up to 1024; "
            "expected an overlap of at most 504, or a tile of 6016",
        ),
    ]:
        with pytest.raises(TilingError, match=message):
            load(tiny_path, backend="fake", **options)


def test_models_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no model 'sr-x9'.*shipped: .*sr-x4-tiny"):
        load("sr-x9")
    with pytest.raises(WeightsError, match="no model"):
        load(tmp_path)


@pytest.mark.parametrize("channels", [1, 4])
def test_models_of_other_channels(channels: int, tmp_path: Path) -> None:
    spec = replace(preset("tiny", 2), image_channels=channels)
    save_bundle(Bundle(spec, {}), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=f"have {channels} channels; expected 3"):
        load(tmp_path / "model.safetensors", backend="fake")


def test_models_whose_results_have_other_channels(tmp_path: Path) -> None:
    one = Operation("slice", "one", ("image",), {}, {"first": 0, "channels": 1})
    graph = Graph({"image": Input(3, True)}, (one,), {"picture": Output("one", True)})
    save_bundle(Bundle(graph, {}), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="have 1 channels; expected 3"):
        load(tmp_path / "model.safetensors", backend="fake")


def test_a_listing_is_no_picture_model(tmp_path: Path) -> None:
    save_bundle(Bundle(preset("listing", 1), {}), tmp_path / "listing.safetensors")
    with pytest.raises(WeightsError, match="it reads rows and gives rows; C programs run it"):
        load(tmp_path / "listing.safetensors", backend="fake")
