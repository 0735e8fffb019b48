"""Colour under transparency, and the rows that alpha is enlarged in."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imagen_fast import load
from imagen_fast.image import alpha
from imagen_fast.image.alpha import fill_transparent
from imagen_fast.image.pillow import from_pil
from imagen_fast.image.resample import resize


@settings(deadline=None)  # a band of one column at a time is slow
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0.002, 0.05, 0.5]),
    st.sampled_from([1, 100, alpha.BAND]),
    st.integers(0, 9),
)
def test_a_transparent_pixel_takes_the_colour_of_the_nearest_visible_one(
    height: int, width: int, share: float, band: int, seed: int
) -> None:
    """Compared with all distances there are, on pictures whose colours are places."""
    rng = np.random.default_rng(seed)
    opacity = rng.integers(4096, 65536, (height, width)) * (rng.random((height, width)) < share)
    opacity[rng.integers(height), rng.integers(width)] = 4096
    y, x = np.mgrid[:height, :width]
    places = np.dstack([y, x]).astype(np.uint16)
    before = places.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alpha, "BAND", band)
        filled = fill_transparent(places, opacity.astype(np.uint16)).astype(int)
    np.testing.assert_array_equal(places, before)
    assert (opacity[filled[..., 0], filled[..., 1]] > 0).all()
    seen = np.argwhere(opacity > 0)
    nearest = ((y[..., None] - seen[:, 0]) ** 2 + (x[..., None] - seen[:, 1]) ** 2).min(-1)
    np.testing.assert_array_equal((filled[..., 0] - y) ** 2 + (filled[..., 1] - x) ** 2, nearest)


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1)])
def test_lines_as_long_as_they_like(shape: tuple[int, int]) -> None:
    """Which would take hours if the work grew with the square of the length."""
    opacity = np.zeros(shape, np.uint8)
    color = np.zeros((*shape, 1), np.float32)
    opacity.ravel()[[100, 90_000]] = 255
    color.ravel()[[100, 90_000]] = 0.25, 0.75
    filled = fill_transparent(color, opacity).ravel()
    assert filled.dtype == np.float32
    assert (filled[:45_050] == 0.25).all()
    assert (filled[45_051:] == 0.75).all()


@pytest.mark.parametrize("shift", [0, 3, 8])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_dark_dot_far_away_does_not_reach_a_white_panel(
    shift: int, turned: bool, dtype: Any
) -> None:
    """Wherever the panel ends, on both axes: the dot is 26 pixels from its edge."""
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    edge = 32 + shift
    image = np.zeros((48, 80, 4), dtype)
    image[:, :edge] = full
    image[32, edge + 25, 3] = full
    image = image.swapaxes(0, 1) if turned else image
    with load("sr-x4", device="cpu", precision="fp32") as engine:
        large = engine(image)
    panel = (large.swapaxes(0, 1) if turned else large)[:, : 4 * edge]
    assert panel[..., :3].min() > 0.98 * full


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_faint_pixels_take_the_colour_around_them(dtype: Any) -> None:
    """Of a disc that was multiplied by its alpha, whose edge has rounding for a colour."""
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    y, x = np.mgrid[:40, :40] - 19.5
    alpha = np.clip(3 - np.hypot(x, y) / 6, 0, 1)
    faint = (alpha > 0) & (alpha < 1 / 16)
    color = np.where(faint[..., None], [1, 1, 0], [1, 0.25, 0])
    color, opacity = ((full * array).astype(dtype) for array in (color, alpha))
    filled = fill_transparent(color, opacity)
    np.testing.assert_array_equal(filled[alpha >= 1 / 16], color[alpha >= 1 / 16])
    assert np.abs(filled[alpha < 1 / 16] / full - [1, 0.25, 0]).max() < 0.15
    alone = np.where(alpha > 0.5, full // 20 if full > 1 else 0.05, 0).astype(dtype)
    same = fill_transparent(np.full_like(color, full), alone)  # faint all over: as it is
    assert np.abs(same / full - 1).max() < 1e-3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_alpha_is_enlarged_as_sharply_as_colour(dtype: Any) -> None:
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    y, x = np.mgrid[:192, :192] / 192
    shape = ((np.sin(9 * x + 4 * y) > 0.2) * np.float32(full)).astype(np.float32)
    small = resize(shape, 48, 48).clip(0, full).astype(dtype)
    with load("sr-x4", device="cpu", precision="fp32") as engine:
        large = engine(np.dstack([np.full((48, 48, 3), full, dtype), small]))
        grey = engine(small)
    np.testing.assert_array_equal(large[..., 3], grey)
    bicubic = resize(small, 192, 192).clip(0, full)
    errors = [np.square(a.astype(float) / full - shape / full).mean() for a in (grey, bicubic)]
    assert errors[0] < 0.6 * errors[1]
    around = np.lib.stride_tricks.sliding_window_view(np.pad(small, 2, "edge"), (5, 5))
    flat = (np.ptp(around, (2, 3)) == 0).repeat(4, 0).repeat(4, 1)
    assert flat.mean() > 0.2
    np.testing.assert_array_equal(grey[flat], small.repeat(4, 0).repeat(4, 1)[flat])


@pytest.mark.parametrize("opacity", [0, 255])
def test_nothing_to_fill_costs_nothing(opacity: int) -> None:
    color = np.zeros((4, 4, 3), np.uint8)
    assert fill_transparent(color, np.full((4, 4), opacity, np.uint8)) is color


@given(st.integers(1, 30), st.integers(1, 90), st.data())
def test_rows_of_a_resized_picture(old: int, new: int, data: st.DataObject) -> None:
    image: Any = np.random.default_rng(old).random((old, 5), np.float32)
    start = data.draw(st.integers(0, new - 1))
    rows = slice(start, data.draw(st.integers(start + 1, new)))
    np.testing.assert_array_equal(resize(image, new, 7, rows), resize(image, new, 7)[rows])


def test_a_transparent_colour_of_the_mode_before_is_none_of_this_one() -> None:
    image = Image.new("RGB", (4, 3))
    image.info["transparency"] = (0, 0, 0)
    alpha = from_pil(image).alpha
    assert alpha is not None
    assert not alpha.any()
    for other in (image.getchannel("G"), image.convert("1")):
        assert other.info["transparency"] == (0, 0, 0)
        assert from_pil(other).alpha is None
