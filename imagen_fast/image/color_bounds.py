"""Colours of an enlarged picture stay near those that the picture has nearby.

A network guesses every sample anew, so that a flat colour comes out of it up to 25 levels off where
the picture ends, and black lines on white in colours. But where a picture hardly changes, neither
does what it was reduced from. So each output pixel is moved to within bounds: those of its samples,
and of red - green and green - blue, in the input nearby, and beyond them by as much as reducing may
have hidden, which grows with their range. Photographs are hardly touched: one pixel in a thousand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.image.natively import Natively
from imagen_fast.image.neutral import REACH, ROWS, within_reach
from imagen_fast.samples import Samples

# Where the range is larger, in levels of 255, nothing is bounded.
LARGE = 16
UNBOUNDED = 20_000  # more than any sample


@Natively
def bound_colors(tiles: Samples, output: Samples) -> None:
    """Move the output, in place, to within the bounds of the input.

    tiles (N, H, W, 3), output (N, s·H, s·W, 3), uint8 or float32 in [0, 1]. What lies beyond a
    tile's border has no say. A range of r levels is widened by r² / 2 on both sides. A pixel
    whose differences are out of bounds keeps its mean.
    """
    scale, height = output.shape[1] // tiles.shape[1], tiles.shape[1]
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        above = max(top - REACH, 0)
        near = tiles[:, above : bottom + REACH]
        part = slice(top - above, bottom - above)
        _bound(near, part, output[:, scale * top : scale * bottom], scale)


def _bound(near: Samples, part: slice, output: Samples, scale: int) -> None:
    """Of the rows `part`; `near` has those around them as well."""
    kind = np.int16 if output.dtype == np.uint8 else np.float32
    samples = np.moveaxis(near.astype(kind), -1, 0)
    found = np.moveaxis(output.astype(kind), -1, 0)

    def bounded(x: NDArray[Any], given: NDArray[Any]) -> NDArray[Any]:
        low, high = (bound[:, part].repeat(scale, 1).repeat(scale, 2) for bound in _bounds(given))
        within: NDArray[Any] = np.clip(x, low, high)
        return within

    red, green, blue = found
    upper, lower = (
        bounded(red - green, samples[0] - samples[1]),
        bounded(green - blue, samples[1] - samples[2]),
    )
    total = red + green + blue - upper + lower
    mean = (total + 1) // 3 if kind is np.int16 else total / kind(3)
    moved = (upper != red - green) | (lower != green - blue)
    top = 255 if kind is np.int16 else 1
    for channel, x in enumerate((mean + upper, mean, mean - lower)):
        x = np.where(moved, x, found[channel])
        output[..., channel] = np.clip(bounded(x, samples[channel]), 0, top)


def _bounds(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What (N, H, W) numbers may become, least and most."""
    least, most = x, x
    for axis in (1, 2):
        least, most = within_reach(least, axis, np.minimum), within_reach(most, axis, np.maximum)
    wide = most - least
    if x.dtype == np.int16:
        beyond = np.where(wide < LARGE, wide * wide // 2, UNBOUNDED).astype(np.int16)
    else:
        levels = wide * np.float32(255)
        beyond = np.where(levels < LARGE, wide * wide * np.float32(127.5), np.float32(UNBOUNDED))
    return least - beyond, most + beyond
