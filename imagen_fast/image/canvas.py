"""The canvas that a picture is painted on, and the picture that the painted canvas makes.

Strokes have a size in a painting, not in pixels: a picture of any size is painted at that of the
canvas, and what the painting changes there is enlarged and added to the picture, whose edges stay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imagen_fast.image.resample import resize
from imagen_fast.samples import Samples, full, rounded

SIDE = 384  # pixels of its shorter side, at most: as pictures and paintings are trained on


def canvas_of(color: Samples) -> Samples:
    """(H, W, 3) brought to a shorter side of SIDE, or itself if it is no larger; dtype kept."""
    height, width = color.shape[:2]
    shorter = min(height, width)
    if shorter <= SIDE:
        return color
    size = (round(height * SIDE / shorter), round(width * SIDE / shorter))
    return rounded(resize(color, *size).clip(0, full(color.dtype)), color.dtype)


def on_canvas(color: Samples, strokes: NDArray[np.float32], strength: float) -> Samples:
    """A canvas (h, w, 3), uint8 or uint16, with strokes (h, w, 3) laid on it.

    `strength` is of a stroke of 1, as a part of white.
    """
    white = full(color.dtype)
    laid = color + np.float32(strength * white) * strokes
    return rounded(laid.clip(0, white), color.dtype)


def painted(picture: Samples, before: Samples, after: Samples, rows: slice) -> Samples:
    """Rows of a picture (H, W, 3) with what changed on its canvas, (h, w, 3) before and after."""
    if picture.shape == after.shape:
        return after[rows]
    height, width = picture.shape[:2]
    change = after.astype(np.float32) - before
    found = picture[rows] + resize(change, height, width, rows)
    return rounded(found.clip(0, full(picture.dtype)), picture.dtype)
