"""The canvas that a picture is painted on."""

import numpy as np
import pytest

from imagen_fast.image.canvas import SIDE, canvas_of, on_canvas, painted


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_large_pictures_are_brought_to_its_size_and_small_ones_stay(dtype: type) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (SIDE, SIDE + 90, 3)).astype(dtype)
    assert canvas_of(small) is small
    large = np.full((2 * SIDE, 3 * SIDE + 1, 3), 99, dtype)
    found = canvas_of(large)
    assert (found.shape, found.dtype) == ((SIDE, round(1.5 * SIDE + 0.5), 3), dtype)
    assert (found == 99).all()


def test_strokes_are_laid_within_the_range() -> None:
    canvas = np.array([0, 128, 255], np.uint8).repeat(3).reshape(1, 3, 3)
    for stroke, expected in ((2, [26, 154, 255]), (-2, [0, 102, 230])):
        laid = on_canvas(canvas, np.full((1, 3, 3), stroke, np.float32), 0.05)
        assert laid[0, :, 0].tolist() == expected


def test_what_changes_on_it_is_added_to_the_picture() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 180, (3 * SIDE, 4 * SIDE, 3)).astype(np.uint8)
    before = canvas_of(picture)
    whole = slice(0, len(picture))
    np.testing.assert_array_equal(painted(picture, before, before, whole), picture)
    brighter = painted(picture, before, before + np.uint8(20), whole)
    np.testing.assert_array_equal(brighter, picture + 20)
    noisy = rng.integers(0, 256, before.shape).astype(np.uint8)
    at_once = painted(picture, before, noisy, whole)
    parts = [painted(picture, before, noisy, slice(top, top + 384)) for top in (0, 384, 768)]
    np.testing.assert_array_equal(np.concatenate(parts), at_once)
    assert np.abs(canvas_of(at_once).astype(int) - noisy).mean() < 40
