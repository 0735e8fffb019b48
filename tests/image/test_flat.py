"""What is flat far around stays as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagen_fast.image.flat import keep_flat


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 3),
    st.sampled_from([np.uint8, np.float32]),
    st.integers(0, 99),
)
def test_pixels_up_to_eight_from_another_colour_are_left_as_the_network_made_them(
    height, width, specks, dtype, seed
):
    rng = np.random.default_rng(seed)
    tiles = np.full((2, height, width, 3), 7, dtype)
    tiles[1] = 3  # nothing of the other picture counts
    for _ in range(specks):
        tiles[0, rng.integers(height), rng.integers(width), rng.integers(3)] = 9
    made = rng.integers(20, 255, tiles.shape).astype(dtype)
    output = made.copy()
    keep_flat(tiles, output)
    np.testing.assert_array_equal(output[1], tiles[1])

    def like_its_neighbours(y, x):
        beside = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
        inside = ((b, a) for b, a in beside if 0 <= b < height and 0 <= a < width)
        return all((tiles[0, b, a] == tiles[0, y, x]).all() for b, a in inside)

    plain = np.array([[like_its_neighbours(y, x) for x in range(width)] for y in range(height)])
    for y, x in np.ndindex(height, width):
        flat = plain[max(y - 7, 0) : y + 8, max(x - 7, 0) : x + 8].all()
        np.testing.assert_array_equal(output[0, y, x], (tiles if flat else made)[0, y, x])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_changes_is_left_as_the_network_made_it(dtype):
    tiles = (np.arange(40)[:, None, None] + np.zeros((1, 40, 40, 3))).astype(dtype)
    output = np.ones_like(tiles)
    keep_flat(tiles, output)
    assert (output == 1).all()
