"""The bicubic kernel: MATLAB's `imresize` by its numbers, and Pillow's where they agree."""

import numpy as np
import pytest
from PIL import Image

from imagen_fast.image.degradation import degrade, rounded
from imagen_fast.image.resample import resize

# Keys' kernel with a = -0.5 at 1.25, 0.25, -0.75 and -1.75: what imresize doubles with.
DOUBLING = (-0.0703125, 0.8671875, 0.2265625, -0.0234375)
# The same stretched twice, at odd eighths: what imresize halves with.
HALVING = (-0.01171875, -0.03515625, 0.11328125, 0.43359375)


def line(size, at):
    values = np.zeros((size, 1), np.float32)
    values[at] = 1
    return values


def test_a_point_doubled_is_the_kernel():
    found = resize(line(9, 4), 18, 1)[:, 0]
    expected = np.zeros(18)
    expected[5:13] = (DOUBLING[3], DOUBLING[0], DOUBLING[2], DOUBLING[1],
                      DOUBLING[1], DOUBLING[2], DOUBLING[0], DOUBLING[3])  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_a_line_of_points_halved_is_the_stretched_kernel():
    found = [resize(line(24, at), 12, 1)[6, 0] for at in range(9, 17)]
    np.testing.assert_allclose(found, (*HALVING, *HALVING[::-1]), atol=1e-7)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("larger", [False, True])
def test_away_from_borders_it_is_pillow_s(scale, larger):
    """Which has the same kernel and antialiasing, but leaves out what lies beyond a border."""
    image = np.random.default_rng(0).random((48, 72), np.float32)
    height, width = (s * scale if larger else s // scale for s in image.shape)
    expected = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    found = resize(image, height, width)
    inner = np.s_[3 * scale if larger else 3 : -3 * scale if larger else -3]
    np.testing.assert_allclose(found[inner, inner], expected[inner, inner], atol=2e-6)
    assert np.abs(found - expected).max() > 1e-3  # at the borders


@pytest.mark.parametrize(("height", "width"), [(30, 50), (7, 9), (15, 10)])
def test_beyond_its_borders_a_picture_is_mirrored(height, width):
    """The outermost pixels twice, as `imresize` does."""
    image = np.random.default_rng(1).random((15, 20), np.float32)
    padded = np.pad(image, ((15, 15), (20, 20)), mode="symmetric")
    around = resize(padded, 3 * height, 3 * width)
    inside = around[height : 2 * height, width : 2 * width]
    np.testing.assert_allclose(resize(image, height, width), inside, atol=2e-6)


@pytest.mark.parametrize("size", [(1, 1), (40, 90), (13, 17), (200, 3)])
def test_flat_pictures_and_channels_stay(size):
    flat = np.full((13, 17, 3), (0, 77, 255), np.uint8)
    found = resize(flat, *size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to((0, 77, 255), (*size, 3)), atol=1e-4)


def test_a_slope_stays_a_slope_and_the_same_size_the_same_picture():
    slope = np.tile(np.arange(20, dtype=np.float32), (10, 1))
    found = resize(slope, 10, 60)[:, 9:-9]  # mirrored borders bend it
    expected = np.broadcast_to((np.arange(60) + 0.5) / 3 - 0.5, (10, 60))[:, 9:-9]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    image = np.random.default_rng(2).random((9, 8), np.float32)
    np.testing.assert_array_equal(resize(image, 9, 8), image)


def test_degrading_crops_to_a_multiple_and_rounds_to_the_nearest():
    picture = np.random.default_rng(3).integers(0, 256, (29, 38, 3), np.uint8)
    low, high = degrade(picture, 4)
    assert (low.shape, low.dtype) == ((7, 9, 3), np.uint8)
    np.testing.assert_array_equal(high, picture[:28, :36])
    assert np.abs(low - resize(high, 7, 9).clip(0, 255)).max() <= 0.501


def test_rounding_cuts_what_overshoots():
    values = np.float32([-3, -0.4, 0.6, 127.4, 127.6, 254.7, 255.4, 300])
    assert rounded(values).tolist() == [0, 0, 1, 127, 128, 255, 255, 255]
