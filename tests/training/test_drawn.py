"""Drawings have what they are for: flat colours that shrinking keeps, lines without colour."""

import numpy as np
import pytest

from imagen_fast.image.degradation import degrade
from imagen_fast.training.drawn import CORNERS, SIDE, drawings


@pytest.mark.parametrize("scale", [1, 3])
def test_drawings(scale):
    pictures = drawings(scale)
    assert {picture.shape for picture in pictures.values()} == {(SIDE * scale, SIDE * scale, 3)}
    for name, picture in pictures.items():
        if name.startswith("lines"):
            assert np.ptp(picture.astype(int), axis=2).max() <= 2, name
            assert picture.min() < 3, name
            assert picture.max() > 252, name
    colors = np.concatenate([x.reshape(-1, 3) for name, x in pictures.items() if "shapes" in name])
    found = {tuple(color) for color in np.unique(colors, axis=0)}
    assert found >= {tuple(color) for color in CORNERS}, (
        "each corner of the cube is in some picture"
    )


def test_a_flat_place_stays_what_it_is_when_it_is_shrunk():
    low, high = degrade(drawings(4)["shapes-0"], 4)
    squares = high.reshape(SIDE, 4, SIDE, 4, 3)
    flat = np.ptp(squares, axis=(1, 3)).max(axis=2) == 0
    inner = np.zeros_like(flat)  # as far from edges as bicubic's kernel reaches
    for y, x in zip(*np.nonzero(flat), strict=True):
        around = slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3)
        inner[y, x] = (
            flat[around].all() and np.ptp(squares[around[0], 0, around[1], 0], (0, 1)).max() == 0
        )
    assert inner.mean() > 0.5
    assert (low[inner] == squares[:, 0, :, 0][inner]).all()


def test_a_seed_gives_the_same_drawings():
    one, again, other = drawings(2), drawings(2), drawings(2, seed=1)
    assert all((one[name] == again[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)
