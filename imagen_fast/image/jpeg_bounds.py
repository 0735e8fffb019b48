"""What a JPEG holds of a picture is not taken away as if it were a fault.

An encoder rounds the cosine coefficients of each 8×8 block to whole steps, so each of the picture
that it was given lies within half a step of what is decoded. A network does not know the steps, and
makes some details weaker than they can have been.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from imagen_fast.image.jpeg_steps import BLOCK, COSINES, LOW, Steps, blocks
from imagen_fast.image.yuv import lightness
from imagen_fast.samples import Samples, full

# Parts of a step by which a coefficient may come nearer to 0. Half of one would be for certain, but
# what a network takes further lies more likely within it than at its end. Coefficients may grow as
# they like: what was blurred before it became a JPEG lies beyond.
PART = 0.35
# Noise that was there before the JPEG lies beyond as well, and shall go. It tells by how far the
# coefficients would fall below their bounds, in steps, the mean of low ones: up to 0.008 for clean
# pictures of quality 15 to 90, 0.02 and more for noise of 10 levels from quality 65 up. Between
# these the bounds are let go by and by.
NOISE = (0.008, 0.016)
_ROWS = 32 * BLOCK  # at a time


class _Fall(NamedTuple):
    """Of whole blocks in rows `top` to `bottom`, (rows, columns, 8, 8): how far coefficients fall
    below their bounds, and the sign of what they were."""

    top: int
    bottom: int
    below: Samples
    sign: Samples


def keep_coefficients(found: Samples, given: Samples, steps: Steps) -> None:
    """Give back to a changed picture, in place, what the JPEG has and it lost, of lightness.

    Blocks that the picture's border cuts stay as they are.

    Args:
        found: (H, W, C), uint8 or uint16.
        given: like `found`, the picture that it was made of.
        steps: of the JPEG that it was.
    """
    # Computed anew below: all of them would be several times the picture's memory.
    falls = [(fall.below / steps.table)[..., LOW].ravel() for fall in _falls(found, given, steps)]
    noise = np.concatenate(falls).mean() if falls else np.inf
    bound = np.float32(np.clip((NOISE[1] - noise) / (NOISE[1] - NOISE[0]), 0, 1))
    if not bound:
        return
    level = np.float32(full(given.dtype) / 255)
    for top, bottom, below, sign in _falls(found, given, steps):
        back = (COSINES.T @ (bound * sign * below) @ COSINES).swapaxes(1, 2)
        back = back.reshape(bottom - top, -1, 1)
        part = found[top:bottom, steps.left : steps.left + back.shape[1]]
        part[:] = np.rint((part / level + back).clip(0, 255) * level)


def _falls(found: Samples, given: Samples, steps: Steps) -> Iterator[_Fall]:
    level = np.float32(full(given.dtype) / 255)
    for top in range(steps.top, len(given) - BLOCK + 1, _ROWS):
        part = np.s_[top : top + _ROWS, steps.left :]
        held, made = (
            COSINES @ blocks(lightness(x[part].astype(np.float32) / level)) @ COSINES.T
            for x in (given, found)
        )
        sign = np.where(held < 0, np.float32(-1), np.float32(1))
        below = np.maximum(sign * (held - made) - PART * steps.table, 0)
        if below.size:
            yield _Fall(top, top + BLOCK * len(below), below, sign)
