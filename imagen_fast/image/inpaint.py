"""Holes in a picture filled with the smoothest surface that goes on from what is around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import ImageError
from imagen_fast.samples import Samples, full, rounded

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

TOLERANCE = 1e-3  # of the residual, as a part of the first one
MOST_STEPS = 300  # enough for scratches; wide holes are smooth from the start


def inpainted(color: Samples, mask: NDArray[np.bool_]) -> Samples:
    """A copy of the picture (H, W, C) whose pixels are made up where the mask (H, W) is set.

    They minimise the sum of |∇²u|² + |∇u|², a thin plate under tension (Smith and Wessel 1990;
    for pictures Damelin and Hoang 2018, arXiv:1804.06326), by conjugate gradients. Of scratches
    that is nearer to the truth than OpenCV's inpainting; holes much wider get no texture.

    Raises:
        ImageError: the mask is set everywhere.
    """
    result: Samples = color.copy()
    if not mask.any():
        return result
    if mask.all():
        raise ImageError("the mask covers the whole picture; expected some of it, dark, to stay")
    holes = _Holes(mask)
    values = color.reshape(-1, color.shape[2])[holes.at].astype(np.float32)
    values[holes.inner] = _peeled(values, holes)
    right = -holes.bent(np.where(holes.is_inner[:, None], 0, values))
    made = _conjugate_gradients(holes, right, values[holes.inner])
    made = rounded(made.clip(0, full(color.dtype)), color.dtype)
    result.reshape(-1, color.shape[2])[holes.at[holes.inner]] = made
    return result


class _Holes:
    """The pixels that matter: those of holes, `inner`, and those up to two steps from one.

    Attributes:
        at: (R,) places of all of them in the flattened picture.
        inner: (N,) which of them are in holes; is_inner (R,) says so of each.
        beside: (R, 4) their neighbours, by their place in `at`; the picture's border repeats.
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        height, width = mask.shape
        near = _wider(_wider(mask))
        self.at: Indices = np.flatnonzero(near)
        self.is_inner = mask.ravel()[self.at]
        self.inner: Indices = np.flatnonzero(self.is_inner)
        y, x = np.divmod(self.at, width)
        around = [
            np.maximum(y - 1, 0) * width + x,
            np.minimum(y + 1, height - 1) * width + x,
            y * width + np.maximum(x - 1, 0),
            y * width + np.minimum(x + 1, width - 1),
        ]
        place = np.cumsum(near.ravel(), dtype=np.intp) - 1
        # Those three steps away count for nothing that is read; any place will do for them.
        self.beside: Indices = np.stack([place[n] for n in around], 1)

    def bent(self, values: Floats) -> Floats:
        """(R, C) → (N, C): half the gradient of the sum at the pixels of holes."""
        slope = self._laplacian(values, slice(None))
        return self._laplacian(slope, self.inner) + slope[self.inner]

    def _laplacian(self, values: Floats, where: slice | Indices) -> Floats:
        # One neighbour after the other: all at once would be four times the memory.
        result: Floats = 4 * values[where]
        for side in range(4):
            result -= values[self.beside[where, side]]
        return result


def _peeled(values: Floats, holes: _Holes) -> Floats:
    """A first guess, from the holes' rims inwards: each pixel the mean of its known neighbours."""
    values, known, left = values.copy(), ~holes.is_inner, holes.inner
    while len(left):
        given = known[holes.beside[left]]  # (L, 4)
        count = given.sum(1)
        reached = count > 0
        rim, beside = left[reached], holes.beside[left[reached]]
        weights = (given[reached] / count[reached, None]).astype(np.float32)
        values[rim] = np.einsum("nk,nkc->nc", weights, values[beside])
        known[rim] = True
        left = left[~reached]
    return values[holes.inner]


def _conjugate_gradients(holes: _Holes, right: Floats, start: Floats) -> Floats:
    """The values in holes (N, C) whose `bent` is `right`; every channel by itself."""
    whole = np.zeros((len(holes.at), start.shape[1]), np.float32)

    def apply(inner: Floats) -> Floats:
        whole[holes.inner] = inner
        return holes.bent(whole)

    values: Floats = start.copy()
    residual = right - apply(values)
    direction = residual.copy()
    square = (residual**2).sum(0)
    enough = TOLERANCE**2 * square
    for _ in range(MOST_STEPS):
        if (square <= enough).all():
            break
        applied = apply(direction)
        step = square / np.maximum((direction * applied).sum(0), 1e-20)
        values += step * direction
        residual -= step * applied
        before, square = square, (residual**2).sum(0)
        direction = residual + square / np.maximum(before, 1e-20) * direction
    return values


def _wider(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and its neighbours above, below, left and right."""
    wide: NDArray[np.bool_] = mask.copy()
    wide[1:] |= mask[:-1]
    wide[:-1] |= mask[1:]
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    return wide
