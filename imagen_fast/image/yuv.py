"""Frames of 8 bits in 4:2:0 ↔ RGB: NV12 and I420, as cameras and codecs give and take them.

With the weights Kr, Kb of a matrix (ITU-R BT.601, BT.709, BT.2020) and Kg = 1 - Kr - Kb:

    Y = Kr·R + Kg·G + Kb·B    U = (B - Y) / (2 - 2·Kb)    V = (R - Y) / (2 - 2·Kr)

Y takes the levels 16 to 235 and U and V 16 to 240 around 128, or all three 0 to 255 (full range). A
sample of U and V belongs to two columns and two rows: it lies on the left column, between the rows
(H.264's default). Between samples they are interpolated, and they are means weighted 1 2 1 by 1 1.

`imagen_fast/runtime/yuv.cc` computes the same, bit by bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagen_fast.samples import Samples

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of R, G and B, by BT.601
MATRICES = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
_BITS = 14  # after the point; with 3 more for weights of neighbours all fits into 32

Plane = NDArray[np.uint8]


class Planes(NamedTuple):
    """y (H, W), u and v (H/2, W/2), views of a frame's memory; H and W are even."""

    y: Plane
    u: Plane
    v: Plane


def lightness(color: Samples) -> Samples:
    """(..., 3) RGB or (..., 1) grey, float32 → (...): Y over the whole range of the samples."""
    luma: Samples = color @ LUMA if color.shape[-1] == 3 else color[..., 0]
    return luma


def planes_of(frame: Plane, layout: str) -> Planes:
    """A frame in one array (H + H/2, W), which is contiguous, as its planes.

    `layout` is nv12 (rows of U and V in turn) or i420 (all of U, then all of V).
    """
    height, width = 2 * frame.shape[0] // 3, frame.shape[1]
    y, rest = frame[:height], frame[height:]
    if layout == "nv12":
        pairs = rest.reshape(height // 2, width // 2, 2)
        return Planes(y, pairs[..., 0], pairs[..., 1])
    u, v = rest.reshape(2, height // 2, width // 2)
    return Planes(y, u, v)


class Yuv:
    """Conversion by one matrix and range."""

    def __init__(self, matrix: str, full_range: bool) -> None:
        kr, kb = MATRICES[matrix]
        kg = 1 - kr - kb
        self._black = 0 if full_range else 16
        y, c = (1.0, 1.0) if full_range else (219 / 255, 224 / 255)
        self._y = _fixed(1 / y)
        self._rv, self._bu = _fixed(2 * (1 - kr) / c), _fixed(2 * (1 - kb) / c)
        self._gu = _fixed(-2 * (1 - kb) * kb / kg / c)
        self._gv = _fixed(-2 * (1 - kr) * kr / kg / c)
        self._to_y = (_fixed(kr * y), _fixed(y) - _fixed(kr * y) - _fixed(kb * y), _fixed(kb * y))
        # What U and V take of a neutral pixel is nothing, exactly.
        ru, bu = _fixed(-kr / (2 - 2 * kb) * c), _fixed(c / 2)
        rv, bv = _fixed(c / 2), _fixed(-kb / (2 - 2 * kr) * c)
        self._to_u, self._to_v = (ru, -ru - bu, bu), (rv, -rv - bv, bv)

    def to_rgb(self, planes: Planes) -> Samples:
        """Planes → (H, W, 3) uint8."""
        luma = self._y * 8 * (planes.y.astype(np.int32) - self._black)
        u, v = (_enlarged(plane) - 8 * 128 for plane in (planes.u, planes.v))
        rgb = np.empty((*planes.y.shape, 3), np.uint8)
        rgb[..., 0] = _rounded(luma + self._rv * v)
        rgb[..., 1] = _rounded(luma + self._gu * u + self._gv * v)
        rgb[..., 2] = _rounded(luma + self._bu * u)
        return rgb

    def from_rgb(self, rgb: Samples, planes: Planes) -> None:
        """(H, W, 3) uint8 → written into planes."""
        wide = rgb.astype(np.int32)
        planes.y[:] = _rounded(8 * _weighted(wide, self._to_y), self._black)
        means = _reduced(wide)
        planes.u[:] = _rounded(_weighted(means, self._to_u), 128)
        planes.v[:] = _rounded(_weighted(means, self._to_v), 128)


def _fixed(number: float) -> int:
    return math.floor(number * (1 << _BITS) + 0.5)


def _weighted(rgb: NDArray[np.int32], weights: tuple[int, int, int]) -> NDArray[np.int32]:
    total: NDArray[np.int32] = sum(rgb[..., i] * np.int32(weights[i]) for i in range(3))
    return total


def _rounded(samples: NDArray[np.int32], offset: int = 0) -> Plane:
    shift = _BITS + 3
    rounded: Plane = (((samples + (1 << (shift - 1))) >> shift) + offset).clip(0, 255)
    return rounded.astype(np.uint8)


def _enlarged(plane: Plane) -> NDArray[np.int32]:
    """(h, w) → (2h, 2w), eight times the samples."""
    wide = plane.astype(np.int32)
    above, below = np.vstack([wide[:1], wide[:-1]]), np.vstack([wide[1:], wide[-1:]])
    rows = np.empty((2 * wide.shape[0], wide.shape[1]), np.int32)
    rows[0::2], rows[1::2] = 3 * wide + above, 3 * wide + below
    both = np.empty((rows.shape[0], 2 * rows.shape[1]), np.int32)
    both[:, 0::2] = 2 * rows
    both[:, 1::2] = rows + np.hstack([rows[:, 1:], rows[:, -1:]])
    return both


def _reduced(rgb: NDArray[np.int32]) -> NDArray[np.int32]:
    """(2h, 2w, 3) → (h, w, 3), eight times the means."""
    rows = rgb[0::2] + rgb[1::2]
    left = np.concatenate([rows[:, :1], rows[:, 1:-1:2]], axis=1)
    means: NDArray[np.int32] = left + 2 * rows[:, 0::2] + rows[:, 1::2]
    return means
