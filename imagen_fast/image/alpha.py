"""Colour where there is none to be seen.

What a file stores under transparent pixels is arbitrary, often black. A network that enlarges
colour and alpha apart would mix it into the visible edge: a dark ring. So before enlarging,
transparent pixels take the colour of the nearest visible one. Of nearly transparent pixels it is
rounding that is stored, where colours were multiplied by alpha on the way: these take the colour
around them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from imagen_fast.samples import Samples, full, rounded

Integers = NDArray[np.int32]

BAND = 1 << 22  # pixels filled at a time, so that memory does not grow with the picture
FAINT = 1 / 16  # of full alpha: below it a colour of 8 bits may be 8 levels off and more
NEAR = 2  # pixels around a faint one whose colours count for it


def fill_transparent(color: Samples, alpha: Samples) -> Samples:
    """Give each fully transparent pixel the colour of the visible one nearest to it.

    Before that each faint one gets the mean of those around it, weighted by alpha.

    color (H, W, C), alpha (H, W), any real dtypes → (H, W, C) of color's dtype; `color` itself
    if there is nothing to fill or nothing to fill it with. Distances are Euclidean and exact. Of
    several nearest pixels, which one is taken depends on nothing but where they lie.
    """
    visible = alpha > 0
    faint = visible & (alpha < FAINT * full(alpha.dtype))
    if not visible.any() or (visible.all() and not faint.any()):
        return color
    filled: Samples = color.copy()
    _settle(filled, color, alpha, faint)
    if len(visible) > visible.shape[1]:  # the fewer rows, the faster
        _fill(filled.swapaxes(0, 1), visible.swapaxes(0, 1))
    else:
        _fill(filled, visible)
    return filled


def _settle(filled: Samples, color: Samples, alpha: Samples, faint: NDArray[np.bool_]) -> None:
    """The faint pixels' colours, in place."""
    around = np.arange(-NEAR, NEAR + 1)
    down, across = (x.ravel() for x in np.meshgrid(around, around))
    rows, columns = np.nonzero(faint)
    step = max(1, BAND // len(down))
    for first in range(0, len(rows), step):
        y, x = rows[first : first + step], columns[first : first + step]
        ys = (y[:, None] + down).clip(0, len(alpha) - 1)
        xs = (x[:, None] + across).clip(0, alpha.shape[1] - 1)
        weights = alpha[ys, xs].astype(np.float32)
        weights /= weights.sum(1, keepdims=True)
        mean = np.einsum("nk,nkc->nc", weights, color[ys, xs].astype(np.float32))
        filled[y, x] = mean if color.dtype.kind == "f" else rounded(mean, color.dtype)


def _fill(color: Samples, visible: NDArray[np.bool_]) -> None:
    """Fill in place, in bands of whole columns (Meijster et al. 2000, "A general algorithm for
    computing distance transforms in linear time").
    """
    rows = np.flatnonzero(visible.any(axis=1)).astype(np.int32)
    for left, columns in _columns(visible[rows]):
        band = slice(left, left + columns.shape[1])
        y, x = np.nonzero(~visible[:, band])
        if len(y):
            distances = np.abs(columns - np.arange(band.start, band.stop, dtype=np.int32))
            index = _nearest_rows(distances, rows, len(visible))[y, x]
            color[y, left + x] = color[rows[index], columns[index, x]]


def _columns(visible: NDArray[np.bool_]) -> Iterator[tuple[int, Integers]]:
    """(left, (H, w)) of each band: of each pixel, the column of the nearest visible one in its row.

    Every row has a visible pixel.
    """
    height, width = visible.shape
    step = max(1, BAND // height)
    starts = range(0, width, step)
    far = np.iinfo(np.int32).max // 2
    places = np.arange(width, dtype=np.int32)
    # The first visible column of each row from a band's end on.
    after = [np.full(height, far, np.int32)]
    for start in reversed(starts[1:]):
        part = np.where(visible[:, start : start + step], places[start : start + step], far)
        after.append(np.minimum(part.min(axis=1), after[-1]))
    before = np.full(height, -far, np.int32)  # the last one before a band
    for start in starts:
        here, place = visible[:, start : start + step], places[start : start + step]
        left = np.where(here, place, -far)
        np.maximum(left[:, 0], before, out=left[:, 0])
        np.maximum.accumulate(left, axis=1, out=left)
        right = np.where(here, place, far)[:, ::-1]
        np.minimum(right[:, 0], after.pop(), out=right[:, 0])
        right = np.minimum.accumulate(right, axis=1)[:, ::-1]
        before = left[:, -1].copy()
        yield start, np.where(place - left <= right - place, left, right)


def _nearest_rows(distances: Integers, rows: Integers, height: int) -> Integers:
    """For each pixel of `height` rows, the index of the row that has the nearest visible pixel.

    distances (R, W) are those within `rows` (R,), ascending → (height, W) of 0 to R - 1. A row's
    squared distances to all pixels of a column are a parabola. Those that are lowest somewhere
    are kept as a chain from the last one up: `above` is the one before, `begins` where it starts
    to be the lowest. float64 holds these squares exactly.
    """
    width = distances.shape[1]
    above, begins = np.empty_like(distances), np.empty_like(distances)
    last, begin = np.zeros(width, np.int32), np.zeros(width, np.int32)
    place = np.full(width, float(rows[0]))
    square = np.square(distances[0], dtype=np.float64)
    above[0], begins[0] = -1, 0
    for index in range(1, len(rows)):
        row, here = float(rows[index]), np.square(distances[index], dtype=np.float64)
        # Let go of those that are lowest nowhere any more.
        at = np.flatnonzero((begin - row) ** 2 + here < (begin - place) ** 2 + square)
        while len(at):
            last[at] = above[last[at], at]
            at = at[last[at] >= 0]
            found = last[at]
            begin[at], place[at] = begins[found, at], rows[found]
            square[at] = np.square(distances[found, at], dtype=np.float64)
            beaten = (begin[at] - row) ** 2 + here[at] < (begin[at] - place[at]) ** 2 + square[at]
            at = at[beaten]
        crossing = (here - square + row**2 - place**2) / (2 * (row - place))
        start = np.where(last < 0, 0, np.floor(crossing) + 1)
        above[index] = last
        begins[index] = np.minimum(start, height)
        lowest = start < height
        last[lowest], place[lowest], square[lowest] = index, row, here[lowest]
        begin[lowest] = start[lowest]
    nearest = np.empty((height, width), np.int32)
    for row in range(height - 1, -1, -1):
        nearest[row] = last
        if row:
            at = np.flatnonzero(begin == row)
            last[at] = above[last[at], at]
            begin[at] = begins[last[at], at]
    return nearest
