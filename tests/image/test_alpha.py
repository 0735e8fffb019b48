"""Colour under transparency, and the rows that alpha is enlarged in."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagen_fast.image.alpha import fill_transparent
from imagen_fast.image.resample import resize


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 0.99), st.integers(0, 9))
def test_only_transparent_pixels_change_and_only_to_visible_colours(
    height: int, width: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    color = rng.integers(0, 65536, (height, width, 3), np.uint16)
    alpha = rng.integers(1, 65536, (height, width), np.uint16) * (
        rng.random(color.shape[:2]) < share
    )
    before = color.copy()
    filled = fill_transparent(color, alpha.astype(np.uint16))
    np.testing.assert_array_equal(color, before)
    assert filled.dtype == color.dtype
    visible = alpha > 0
    np.testing.assert_array_equal(filled[visible], color[visible])
    if visible.any():
        low, high = color[visible].min(0), color[visible].max(0)
        assert (filled >= low).all()
        assert (filled <= high).all()


def test_the_nearest_colours_win() -> None:
    color = np.zeros((64, 64, 1), np.uint8)
    color[:, :16], color[:, 48:] = 50, 200
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, :16] = alpha[:, 48:] = 255
    filled = fill_transparent(color, alpha)[..., 0]
    assert (filled[:, :32] == 50).all()
    assert (filled[:, 32:] == 200).all()


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
