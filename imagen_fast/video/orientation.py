"""Display matrices: how frames are turned to be upright, and what enlarging them changes.

Nine numbers as FFmpeg has them: a pixel at (x, y) is shown at (a·x + c·y + e, b·x + d·y + f) of
(a, b, u, c, d, v, e, f, w), in 16.16 fixed-point but for u, v and w.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imagen_fast.image.picture import Picture
from imagen_fast.video.frames import Look

Matrix = tuple[int, ...]


def enlarged(matrix: Matrix | None, scale: int) -> Matrix | None:
    """The matrix of pictures `scale` times as large: it shifts by pixels."""
    if matrix is None:
        return None
    return (*matrix[:6], matrix[6] * scale, matrix[7] * scale, matrix[8])


def quarters(matrix: Matrix) -> int:
    """By how many quarter turns counter-clockwise it turns, to the nearest."""
    a, b = matrix[:2]
    if abs(a) >= abs(b):
        return 0 if a > 0 else 2
    return 1 if b < 0 else 3


def upright_look(look: Look) -> Look:
    """As frames are when they have been made upright."""
    if look.matrix is None or quarters(look.matrix) % 2 == 0:
        return replace(look, matrix=None)
    aspect = 1 / look.pixel_aspect if look.pixel_aspect else None
    width, height = look.height, look.width
    return replace(look, width=width, height=height, pixel_aspect=aspect, matrix=None)


def upright(picture: Picture, matrix: Matrix) -> Picture:
    """The picture as it is to be shown: mirrored if the matrix mirrors, then turned."""
    a, b, _, c, d = matrix[:5]
    mirrored, turns = a * d - b * c < 0, quarters(matrix)

    def turned(samples: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(samples[::-1] if mirrored else samples, turns))

    alpha = None if picture.alpha is None else turned(picture.alpha)
    return Picture(turned(picture.color), alpha, picture.metadata)
