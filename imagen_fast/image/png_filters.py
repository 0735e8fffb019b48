"""PNG's filters, undone. PNG (Third Edition), W3C, section 9."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import ImageError


def unfilter(kinds: NDArray[np.uint8], grid: NDArray[np.uint8]) -> None:
    """Add to each byte its prediction, in place. grid (1 + H, 1 + W, bytes of a pixel)."""
    if kinds.max() > 4:
        raise ImageError(
            f"the PNG file is damaged: it names filter {kinds.max()}, there are 0 to 4"
        )
    if kinds.max() > 2:
        _unfilter_diagonally(kinds, grid)
        return
    for row, kind in enumerate(kinds, start=1):
        if kind == 1:
            grid[row] = np.add.accumulate(grid[row], axis=0, dtype=np.uint8)
        elif kind == 2:
            grid[row] += grid[row - 1]


def _unfilter_diagonally(kinds: NDArray[np.uint8], grid: NDArray[np.uint8]) -> None:
    """A pixel needs its left, upper and upper left neighbours, so those with one x + y are free
    of each other and go together: H + W steps, in which rows of any filter mix.
    """
    height, width = grid.shape[0] - 1, grid.shape[1] - 1
    flat = grid.reshape(-1, grid.shape[2])

    def diagonal(start: int, count: int) -> NDArray[Any]:
        # Down one row and left one column is `width` on, as a row has width + 1 pixels.
        return flat[start : start + (count - 1) * width + 1 : width]

    for step in range(2, height + width + 1):  # x + y, both from 1
        first, last = max(1, step - width), min(height, step - 1)
        start, count = step + first * width, last - first + 1
        left = diagonal(start - 1, count).astype(np.int16)
        up = diagonal(start - width - 1, count).astype(np.int16)
        corner = diagonal(start - width - 2, count).astype(np.int16)
        predicted = np.choose(
            kinds[first - 1 : last, None],
            (np.int16(0), left, up, (left + up) >> 1, _paeth(left, up, corner)),
        )
        here = diagonal(start, count)
        here += predicted.astype(np.uint8)


def _paeth(
    left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Whichever neighbour is nearest to left + up - corner."""
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    nearer = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearer)
