"""Colours of one picture moved to those of another."""

from typing import Any

import numpy as np
import pytest

from imagen_fast.image.palette import COLORS, palette_of, recolored, table_of


@pytest.fixture
def pictures() -> list[Any]:
    """Two of other colours and sizes: smooth, and in blots of 50 colours."""
    y, x = np.mgrid[:90, :140]
    smooth = np.stack([100 + 80 * np.sin(x / 20), 60 + y, 200 - x], 2)
    rng = np.random.default_rng(3)
    blots = rng.integers(0, 256, (50, 3))[rng.integers(0, 50, (8, 12))].repeat(9, 0).repeat(9, 1)
    return [smooth.clip(0, 255).astype(np.uint8), blots.astype(np.uint8)]


def apart(a: Any, b: Any) -> float:
    """How far two palettes are along 50 directions, in the order of their colours."""
    directions = np.random.default_rng(5).normal(size=(3, 50))
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.abs(np.sort(a @ directions, 0) - np.sort(b @ directions, 0)).mean())


def test_a_picture_gets_the_other_s_colors(pictures: list[Any]) -> None:
    for picture, other in (pictures, pictures[::-1]):
        before, after = palette_of(picture), palette_of(other)
        assert before.shape == (COLORS, 3)
        found = recolored(picture, table_of(before, after))
        assert (found.shape, found.dtype) == (picture.shape, np.uint8)
        assert apart(palette_of(found), after) < 0.5 * apart(before, after)


def test_its_own_colors_stay(pictures: list[Any]) -> None:
    for picture in pictures:
        palette = palette_of(picture)
        found = recolored(picture, table_of(palette, palette))
        assert np.abs(found.astype(int) - picture).max() <= 1


def test_similar_colors_stay_similar_and_finer_ones_move_alike(pictures: list[Any]) -> None:
    table = table_of(*map(palette_of, pictures))
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    found = recolored(ramp, table).astype(int)
    assert np.abs(np.diff(found, axis=1)).max() <= 8
    deep = recolored(pictures[0].astype(np.uint16) * 257, table)
    np.testing.assert_allclose(deep / 257, recolored(pictures[0], table), rtol=0, atol=1)
    assert deep.dtype == np.uint16
