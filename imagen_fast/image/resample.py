"""Antialiased bicubic resampling as MATLAB's `imresize` does it.

Cubic convolution kernel with a = -0.5 (Keys 1981), stretched by the factor when shrinking,
symmetric borders. It is the degradation that published super-resolution figures assume, the
baseline that models are compared with, and the way alpha is enlarged.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


def resize(image: NDArray[np.generic], height: int, width: int, rows: slice = slice(None)) -> Float:
    """(H, W) or (H, W, C), any real dtype → float32 of (height, width[, C]), range kept.

    With `rows`, only these rows of the result. Bicubic overshoots: clip before storing as
    integers.
    """
    out = _resize_rows(image, height, rows)
    return np.ascontiguousarray(_resize_rows(out.swapaxes(0, 1), width).swapaxes(0, 1))


def _resize_rows(image: NDArray[np.generic], size: int, rows: slice = slice(None)) -> Float:
    taps, weights = (table[rows] for table in _taps(image.shape[0], size))
    shape = (-1,) + (1,) * (image.ndim - 1)
    out = np.zeros((len(taps), *image.shape[1:]), np.float32)
    for tap, weight in zip(taps.T, weights.T, strict=True):
        out += np.asarray(image[tap], np.float32) * weight.reshape(shape)
    return out


@lru_cache(maxsize=64)
def _taps(old: int, new: int) -> tuple[NDArray[np.int64], Float]:
    """For each of `new` samples, the source rows it reads and their weights: (new, taps)."""
    scale = new / old
    stretch = max(1.0, 1.0 / scale)
    centre = (np.arange(new) + 0.5) / scale - 0.5
    first = np.floor(centre - 2.0 * stretch).astype(np.int64)
    index = first[:, None] + np.arange(math.ceil(4.0 * stretch) + 2)
    weights = _cubic((centre[:, None] - index) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.flatnonzero(np.abs(weights).max(axis=0) > 0)
    mirrored = np.mod(index[:, used], 2 * old)
    mirrored = np.where(mirrored < old, mirrored, 2 * old - 1 - mirrored)
    return mirrored, weights[:, used].astype(np.float32)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))
