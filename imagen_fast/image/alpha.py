"""Colour where there is none to be seen.

What a file stores under transparent pixels is arbitrary, often black. A network that enlarges
colour and alpha apart would mix it into the visible edge: a dark ring. So before enlarging,
transparent pixels take the colour of the visible ones near them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
Place = tuple[slice, slice]


def fill_transparent(color: Samples, alpha: Samples) -> Samples:
    """Give fully transparent pixels the mean colour of the nearest visible ones.

    color (H, W, C), alpha (H, W), any real dtypes → (H, W, C) of color's dtype; `color` itself
    if there is nothing to fill or nothing to fill it with. Means are taken over 2×2 pixels,
    then 4×4 and so on until something visible is among them (pull-push: Gortler et al. 1996,
    "The Lumigraph").
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return color
    filled: Samples = color.copy()
    _fill(filled, visible)
    return filled


def _fill(color: Samples, visible: Samples) -> None:
    if visible.all():
        return
    coarse, any_visible = _halve(color, visible)
    _fill(coarse, any_visible)
    for place, part in _quarters(visible.shape):
        hidden = ~visible[place]
        color[place][hidden] = coarse[part][hidden]


def _halve(color: Samples, visible: Samples) -> tuple[Samples, Samples]:
    """Mean of the visible among each 2×2 pixels, (⌈H/2⌉, ⌈W/2⌉, C) float32, and whether any is."""
    shape = tuple((size + 1) // 2 for size in visible.shape)
    total = np.zeros((*shape, color.shape[2]), np.float32)
    count = np.zeros((*shape, 1), np.float32)
    for place, part in _quarters(visible.shape):
        here = visible[place][..., None]
        total[part] += np.where(here, color[place], 0)
        count[part] += here
    return total / np.maximum(count, 1), count[..., 0] > 0


def _quarters(shape: tuple[int, ...]) -> Iterator[tuple[Place, Place]]:
    """The four places in 2×2 pixels: which pixels have it, and the part of the half they fill."""
    height, width = shape
    for row in (0, 1):
        for column in (0, 1):
            part = slice((height - row + 1) // 2), slice((width - column + 1) // 2)
            yield (slice(row, None, 2), slice(column, None, 2)), part
