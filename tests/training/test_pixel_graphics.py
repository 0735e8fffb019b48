"""Pixel graphics: no pixel is like the next, and every one is a square of the large picture."""

import numpy as np
import pytest

from imagen_fast.training.drawn import SIDE
from imagen_fast.training.pixel_graphics import CELL, KINDS, pixel_graphics


@pytest.mark.parametrize("scale", [1, 3])
def test_every_pixel_is_a_square_of_the_large_picture(scale):
    for low, high in pixel_graphics(scale).values():
        assert low.shape == (SIDE, SIDE, 3)
        squares = high.reshape(SIDE, scale, SIDE, scale, 3)
        assert (squares == low[:, None, :, None]).all()
        assert (low is high) == (scale == 1)  # which a sampler keeps once


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_hard_edges_between_pixels(kind):
    rng = np.random.default_rng(0)
    cells = np.stack([kind(rng) for _ in range(40)])
    assert cells.shape == (40, CELL, CELL, 3)
    assert cells.dtype == np.uint8
    steps = np.abs(np.diff(cells.astype(int), axis=2)).max(3)
    assert (steps > 100).mean() > 0.02
    grey = (np.ptp(cells.astype(int), axis=3) == 0).all((1, 2))
    assert 0 < grey.sum() < 40  # some without colour


def test_a_seed_gives_the_same_ones():
    one, again, other = (pixel_graphics(2, seed=seed) for seed in (0, 0, 1))
    assert all((one[name][0] == again[name][0]).all() for name in one)
    assert any((one[name][0] != other[name][0]).any() for name in one)
