"""What condition a picture is in: what JPEG and noise have done to it, as far as that shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imagen_fast.image.jpeg_steps import BLOCK, COSINES, SIDE, USUAL, blocks, first_block
from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.image.yuv import lightness
from imagen_fast.samples import Samples, full

# From here on a model for clean pictures does harm: it makes blocks and noise sharp.
WORST_QUALITY = 84
MOST_NOISE = 4.5  # levels of 255

# Vertical and horizontal frequencies where most coefficients are not 0.
_FREQUENCIES = [(row, column) for row in range(5) for column in range(5) if 0 < row + column < 5]
_STEPS = np.arange(2, 81)  # of quantisation that are looked for
_LOOKED_AT = 1024  # blocks
# What the calmest of a picture's blocks have of noise that is everywhere the same: their median of
# second differences is that much of a normal one's.
_OF_NOISE = 0.8
_MEDIAN = 0.6745  # of a normal number's size, in deviations
_CUT = 0.2  # of a block's samples at black and white: from there on its noise looks like less
_FEW_LEVELS = 16  # of green: that many alone are dithering, not noise


def harm(picture: Picture) -> str:
    """What was done to a picture, in words; "" if nothing that counts."""
    table = picture.metadata.jpeg_table
    if table and (quality := jpeg_quality(table)) <= WORST_QUALITY:
        return f"JPEG of quality {quality}"
    height, width = picture.color.shape[:2]
    top, left = max(0, height - SIDE) // 2, max(0, width - SIDE) // 2
    middle = slice(top, top + SIDE), slice(left, left + SIDE)
    color: Samples = eight_bits(picture.color[middle]).astype(np.float32)
    opaque = None
    if picture.alpha is not None:
        opaque = picture.alpha[middle] == full(picture.alpha.dtype)
    noise = noise_level(color, opaque)
    if noise >= MOST_NOISE:
        return f"noise of about {noise:.0f} levels"
    earlier = earlier_quality(lightness(color))
    if earlier is not None and earlier <= WORST_QUALITY:
        return f"JPEG of quality {earlier} before it was saved as this"
    return ""


def jpeg_quality(luma: Sequence[int]) -> int:
    """From 1 to 100, as most encoders count, from a JPEG file's first quantisation table."""
    return _quality(max(1, sum(luma)) / np.sum(USUAL))


def _quality(ratio: float) -> int:
    """From how many times as large a table is as that of quality 50."""
    return max(1, round(100 - 50 * ratio if ratio <= 1 else 50 / ratio))


def noise_level(color: Samples, opaque: NDArray[np.bool_] | None = None) -> float:
    """Deviation of the noise in a picture's channels: (H, W, C) float32, 0 to 255.

    Second differences along both axes leave nothing of what is even or a slope (Immerkær 1996). Of
    each 8×8 block their median size counts, in which single edges do not, and of blocks that are
    not cut at black or white, nor transparent (`opaque`, (H, W)), the calmest 2 %: elsewhere it
    may be texture. So it is too low where there is much of that, and hardly ever too high.
    """
    green = color[..., color.shape[2] // 2]
    if min(green.shape) < BLOCK + 2 or len(np.unique(green)) <= _FEW_LEVELS:
        return 0.0
    down = color[:-2] - 2 * color[1:-1] + color[2:]
    both = down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]  # 36 times the noise's variance
    sizes = np.median(_blocks(np.abs(both)), axis=1).mean(1)
    inner = _blocks(color[1:-1, 1:-1])
    level = inner.mean((1, 2))
    counts = (level > 8) & (level < 247)
    if opaque is not None:
        counts &= _blocks(opaque[1:-1, 1:-1, None]).all((1, 2))
    if counts.sum() < 4:
        return 0.0
    whole = counts & (((inner <= 0) | (inner >= 255)).mean((1, 2)) < _CUT)
    if whole.sum() >= max(4, len(whole) / 50):
        counts = whole
    return float(np.percentile(sizes[counts], 2) / 6 / _MEDIAN / _OF_NOISE)


def earlier_quality(luma: Samples) -> int | None:
    """The quality of a JPEG that a picture, (H, W) float32 from 0 to 255, was decoded from.

    None if it was none, as far as can be seen: its cosine coefficients are whole multiples of a
    step then, whatever file it has been saved as since, unless it was resized or changed by
    much (Fan and de Queiroz 2003, doi:10.1109/TIP.2002.807361). Blocks may begin anywhere.
    """
    if min(luma.shape) < 4 * BLOCK:
        return None
    starts = {(0, 0), first_block(luma)}
    found = [x for x in (_quantised(luma[top:, left:]) for top, left in starts) if x is not None]
    return min(found, default=None)


def _quantised(luma: Samples) -> int | None:
    """The quality by whose steps the coefficients of the 8×8 blocks were rounded, or None."""
    found = blocks(luma).reshape(-1, BLOCK, BLOCK)
    found = found[:: 1 + len(found) // _LOOKED_AT]
    sizes = np.abs(COSINES @ found @ COSINES.T)
    ratios = []
    for row, column in _FREQUENCIES:
        steps = sizes[:, row, column, None] / _STEPS
        whole = np.rint(steps)
        some, more = (whole >= 1).sum(0), (whole >= 2).sum(0)
        near = (np.cos(2 * np.pi * steps) * (whole >= 1)).sum(0) / np.maximum(some, 1)
        # Of one size alone anything is a multiple, and of two or three some step is found.
        sure = (near > 0.55) & (some >= 12) & (more >= np.maximum(3, some / 10))
        if sure.any():
            ratios.append(_STEPS[sure].max() / USUAL[row][column])
    if len(ratios) < 3:
        return None
    ratio = float(np.median(ratios))
    agree = np.abs(np.array(ratios) / ratio - 1) < 0.2
    return _quality(ratio) if agree.sum() >= max(3, len(ratios) / 2) else None


def _blocks(samples: NDArray[np.generic]) -> Samples:
    """(H, W, C) → (N, 64, C): the whole 8×8 blocks."""
    return blocks(samples).reshape(-1, BLOCK**2, samples.shape[2])
