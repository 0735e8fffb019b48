"""Where a picture hardly changes, its enlargement stays near its colours."""

import numpy as np
import pytest
from hardly_changing import pictures

from imagen_fast.image.color_bounds import bound_colors


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("spread", [0, 1, 4, 15])
def test_samples_and_differences_are_within_their_bounds(spread, dtype):
    tiles, output = pictures(9, 9, 3, spread, dtype, 1)
    tiles[tiles == tiles.dtype.type(255 if dtype == np.uint8 else 1)] = tiles[0, 0, 0, 0]
    bound_colors(tiles, output)
    level = 1 if dtype == np.uint8 else 1 / 255
    given, found = tiles.astype(float) / level, output.astype(float) / level
    for n, y, x in np.ndindex(2, 9, 9):
        near = given[n, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        block = found[n, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
        for channel in range(3):
            least, most = near[..., channel].min(), near[..., channel].max()
            if (wide := most - least) < 15.9:
                assert block[..., channel].min() >= least - wide**2 / 2 - 1e-3
                assert block[..., channel].max() <= most + wide**2 / 2 + 1e-3


def test_flat_colours_stay_and_the_neutral_stays_neutral():
    flat = np.full((1, 5, 7, 3), (255, 128, 3), np.uint8)
    output = np.random.default_rng(0).integers(0, 256, (1, 20, 28, 3), np.uint8)
    bound_colors(flat, output)
    assert (output == (255, 128, 3)).all()
    grey = np.random.default_rng(0).integers(0, 256, (1, 5, 7, 1), np.uint8).repeat(3, axis=3)
    output = np.random.default_rng(1).integers(0, 256, (1, 20, 28, 3), np.uint8)
    mean = (output.astype(int).sum(3) + 1) // 3
    bound_colors(grey, output)
    assert (output == mean[..., None]).all()


def test_where_the_picture_changes_much_nothing_is_moved():
    tiles = np.random.default_rng(0).integers(0, 256, (1, 12, 12, 3), np.uint8)
    output = np.random.default_rng(1).integers(0, 256, (1, 24, 24, 3), np.uint8)
    before = output.copy()
    bound_colors(tiles, output)
    np.testing.assert_array_equal(output, before)
