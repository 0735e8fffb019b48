"""What holes in pictures are filled with."""

from typing import Any

import numpy as np
import pytest

from imagen_fast import ImageError
from imagen_fast.image.degradation import scratches
from imagen_fast.image.inpaint import inpainted


def waves(height: int, width: int) -> Any:
    y, x = np.mgrid[:height, :width, :1][:2]
    phase = np.array([0.0, 1.0, 2.0])
    return np.rint(128 + 60 * np.sin(x / 9 + phase) + 60 * np.cos((y - x) / 11)).astype(np.uint8)


def laplacian(height: int, width: int) -> Any:
    """Of the picture as a graph of neighbours, dense (H·W, H·W)."""
    count = height * width
    result = np.zeros((count, count))
    for y in range(height):
        for x in range(width):
            for a, b in ((y + 1, x), (y, x + 1)):
                if a < height and b < width:
                    i, j = y * width + x, a * width + b
                    result[i, [i, j]] += 1, -1
                    result[j, [j, i]] += 1, -1
    return result


@pytest.mark.parametrize("corner", [False, True])
def test_the_filling_minimises_the_plate_s_energy(corner: bool) -> None:
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (11, 14, 3), np.uint8)
    mask = rng.random((11, 14)) < 0.3
    mask[:4, :5] = corner
    plain = laplacian(11, 14)
    energy, hole = plain @ plain + plain, mask.ravel()
    known = picture.reshape(-1, 3)[~hole].astype(float)
    best = np.linalg.solve(energy[np.ix_(hole, hole)], -energy[np.ix_(hole, ~hole)] @ known)
    found = inpainted(picture, mask)
    np.testing.assert_allclose(found[mask], best.clip(0, 255), rtol=0, atol=1)
    np.testing.assert_array_equal(found[~mask], picture[~mask])


def test_scratches_on_a_smooth_picture_leave_next_to_no_trace() -> None:
    picture = waves(90, 120)
    mask = scratches(90, 120, 0.08, np.random.default_rng(0))
    given = np.where(mask[..., None], np.uint8(255), picture)
    wrong = np.abs(inpainted(given, mask).astype(int) - picture)[mask]
    assert wrong.mean() < 1
    deep = inpainted(given.astype(np.uint16) * 257, mask)
    floats = inpainted(given.astype(np.float32) / 255, mask)
    assert (deep.dtype, floats.dtype) == (np.uint16, np.float32)
    np.testing.assert_allclose(deep / 65535, floats, rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 2), (30, 40)])
def test_a_ramp_goes_on_through_a_hole_and_one_colour_everywhere(shape: tuple[int, int]) -> None:
    height, width = shape
    ramp = (np.arange(height)[:, None] + 3 * np.arange(width))[..., None].astype(np.uint8)
    mask = np.zeros(shape, bool)
    mask[height // 3 : height // 3 + 5, width // 3 : width // 3 + 4] = True
    mask[0, 0] = mask[-1, -1] = False
    flat = np.where(mask[..., None], np.uint8(0), np.uint8(77))
    np.testing.assert_array_equal(inpainted(flat, mask), np.full_like(flat, 77))
    if min(shape) > 20:
        np.testing.assert_allclose(inpainted(ramp, mask), ramp, rtol=0, atol=1)


def test_masks_of_nothing_and_of_everything() -> None:
    picture = waves(8, 9)
    np.testing.assert_array_equal(inpainted(picture, np.zeros((8, 9), bool)), picture)
    with pytest.raises(
        ImageError, match="the mask covers the whole picture; expected some of it, dark, to stay"
    ):
        inpainted(picture, np.ones((8, 9), bool))
