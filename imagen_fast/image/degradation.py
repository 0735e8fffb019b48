"""What training and measuring take away from a picture: bicubic shrinking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imagen_fast.image.resample import resize

Uint8 = NDArray[np.uint8]


def degrade(picture: Uint8, scale: int) -> tuple[Uint8, Uint8]:
    """A low-resolution picture and the part of the original that it shows.

    (H, W, C) uint8 → (H // s, W // s, C) and (s·(H // s), s·(W // s), C), by antialiased
    bicubic shrinking of the whole picture as MATLAB does it, rounded to uint8.
    """
    h, w = picture.shape[0] // scale, picture.shape[1] // scale
    high = picture[: h * scale, : w * scale]
    return rounded(resize(high, h, w)), high


def rounded(samples: NDArray[np.float32]) -> Uint8:
    """The nearest 8-bit samples; bicubic overshoots, so values beyond 0 and 255 are cut."""
    return np.clip(np.rint(samples), 0, 255).astype(np.uint8)
