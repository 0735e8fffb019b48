"""Pixel graphics: no pixel is like the next; of few colours each is a square, enlarged."""

from itertools import product

import numpy as np
import pytest

from imagen_fast.training.drawn import SIDE
from imagen_fast.training.pixel_graphics import (
    CELL,
    KINDS,
    MOST_COLORS,
    PICTURES,
    pixel_graphics,
)


@pytest.mark.parametrize("scale", [1, 3])
def test_pixels_are_squares_of_the_large_picture_where_colours_are_few(scale):
    few = 0
    for low, high in pixel_graphics(scale).values():
        assert low.shape == (SIDE, SIDE, 3)
        assert (low is high) == (scale == 1)  # which a sampler keeps once
        squares = high.reshape(SIDE, scale, SIDE, scale, 3)
        square = (squares == low[:, None, :, None]).all((1, 3, 4))
        for top, left in product(range(0, SIDE, CELL), repeat=2):
            cell = (slice(top, top + CELL), slice(left, left + CELL))
            colors = len(np.unique(low[cell].reshape(-1, 3), axis=0))
            assert square[cell].all() == (colors <= MOST_COLORS or scale == 1)
            few += colors <= MOST_COLORS
    assert 0.8 < few / PICTURES / (SIDE // CELL) ** 2 < 1


def test_noise_of_all_colours_is_enlarged_smoothly():
    page, large = pixel_graphics(4)["pixels-0"]
    many = [
        large[4 * top : 4 * (top + CELL), 4 * left : 4 * (left + CELL)].astype(int)
        for top, left in product(range(0, SIDE, CELL), repeat=2)
        if len(np.unique(page[top : top + CELL, left : left + CELL].reshape(-1, 3), axis=0)) > 16
    ]
    assert many
    for cell in many:
        steps = np.abs(np.diff(cell, axis=1)).mean((0, 2))
        assert steps[3::4].mean() < 4 * steps[1::4].mean()  # of squares the latter are 0


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
