"""What is flat far around stays as it is in a picture that keeps its size.

A network guesses every sample anew: a frame of one colour comes out of it up to 14 levels off, the
more so near the picture's border. But one colour far around is no damage: a frame, a drawing's
background, a sky that is burnt out.
"""

from __future__ import annotations

import numpy as np

from imagen_fast.image.natively import Natively
from imagen_fast.image.neutral import within_reach
from imagen_fast.samples import Samples

# Pixels. JPEG leaves blocks of 8 × 8 flat whose detail it drops; further, their steps show.
REACH = 8


@Natively
def keep_flat(tiles: Samples, output: Samples) -> None:
    """Make the output the input again, in place, where all pixels within REACH are equal.

    Both (N, H, W, C), of one dtype. What lies beyond a tile's border counts as equal.
    """
    flat = np.ones(tiles.shape[:3], bool)
    for axis in (1, 2):
        lines, kept = tiles.swapaxes(0, axis), flat.swapaxes(0, axis)
        same = (lines[1:] == lines[:-1]).all(-1)
        kept[1:] &= same
        kept[:-1] &= same
    for axis in (1, 2):
        if not flat.any():
            return
        flat = within_reach(flat, axis, np.logical_and, REACH - 1)
    np.copyto(output, tiles, where=flat[..., None])
