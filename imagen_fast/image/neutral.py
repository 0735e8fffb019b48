"""Neutral pixels, whose red, green and blue are equal, stay neutral when they are enlarged.

A network has weights of its own for each channel, and fine black lines on white come out of it in
colours. But a pixel in colour can only be found where the picture has colour nearby: whatever
reduced it has spread colour as far as its kernel reaches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.image.natively import Natively
from imagen_fast.samples import Samples

# Input pixels; as far as bicubic reduction spreads colour, the widest kernel in common use.
REACH = 2
ROWS = 32  # input rows at a time, of which what is computed on the way stays small


def channel_mean(samples: Samples) -> Samples:
    """(..., 3) uint8 or float32 → (...) of the same dtype, bytes rounded."""
    red, green, blue = (samples[..., channel] for channel in range(3))
    if samples.dtype == np.uint8:
        total = red.astype(np.uint16)
        for part in (green, blue, 1):  # thirds never lie halfway: one more rounds them
            total += part
        return (total // 3).astype(np.uint8)
    mean: Samples = (red + green + blue) / np.float32(3)
    return mean


@Natively
def keep_neutral(tiles: Samples, output: Samples) -> None:
    """Make the output neutral, in place, where all input pixels within REACH are.

    tiles (N, H, W, 3), output (N, s·H, s·W, 3), uint8 or float32. There each pixel takes the mean
    of its channels; all others stay. What lies beyond a tile's border counts as neutral.
    """
    samples = tiles.reshape(-1)
    as_next = samples[:-1] == samples[1:]  # in the order of memory: faster than channel by channel
    neutral = (as_next[::3] & as_next[1::3]).reshape(tiles.shape[:3])
    if not neutral.any():
        return
    for axis in (1, 2):
        neutral = within_reach(neutral, axis, np.logical_and)
    scale = output.shape[1] // tiles.shape[1]
    for top in range(0, tiles.shape[1], ROWS):
        part, rows = neutral[:, top : top + ROWS], output[:, scale * top : scale * (top + ROWS)]
        if part.any():
            where = part.repeat(scale, axis=1).repeat(scale, axis=2)
            np.copyto(rows, channel_mean(rows)[..., None], where=where[..., None])


def within_reach(x: NDArray[Any], axis: int, joined: np.ufunc, reach: int = REACH) -> NDArray[Any]:
    """Of each number and those up to `reach` before and behind it along an axis, joined."""
    found: NDArray[Any] = x.copy()  # as it lies in memory, which a swapped copy would not
    lines, kept = x.swapaxes(0, axis), found.swapaxes(0, axis)
    for distance in range(1, reach + 1):
        joined(kept[distance:], lines[:-distance], out=kept[distance:])
        joined(kept[:-distance], lines[distance:], out=kept[:-distance])
    return found
