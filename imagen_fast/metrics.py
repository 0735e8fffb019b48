"""PSNR and SSIM as super-resolution papers report them: on Y, border cropped."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Uint8 = NDArray[np.uint8]
WEIGHTS = np.array([65.481, 128.553, 24.966])  # of R, G and B in Y, for channels in [0, 1]


def luma(image: Uint8) -> NDArray[np.float64]:
    """Y of YCbCr (BT.601, studio swing 16 to 235, as MATLAB's rgb2ycbcr), rounded.

    (H, W, 3) or (H, W) uint8 → (H, W) float64. Grey pictures are taken as they are.
    """
    if image.ndim == 2:
        return image.astype(np.float64)
    rgb = image[..., :3].astype(np.float64)
    y: NDArray[np.float64] = np.round(16.0 + rgb @ (WEIGHTS / 255.0))
    return y


def psnr(a: Uint8, b: Uint8, border: int = 0) -> float:
    """PSNR in dB of two pictures of one shape on Y, `border` pixels cropped from every side."""
    x, y = _cropped(a, b, border)
    mse = float(np.mean((x - y) ** 2))
    return math.inf if mse == 0 else 10.0 * math.log10(255.0**2 / mse)


def ssim(a: Uint8, b: Uint8, border: int = 0) -> float:
    """SSIM on Y: 11×11 Gaussian window, sigma 1.5 (Wang et al. 2004), valid positions only."""
    x, y = _cropped(a, b, border)
    mx, my = _blur(x), _blur(y)
    vx, vy = _blur(x * x) - mx * mx, _blur(y * y) - my * my
    vxy = _blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    s = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(s.mean())


def _cropped(a: Uint8, b: Uint8, border: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if a.shape != b.shape:
        raise ValueError(f"pictures differ in shape: {a.shape} and {b.shape}")
    height, width = a.shape[:2]
    inner = (slice(border, height - border), slice(border, width - border))
    return luma(a)[inner], luma(b)[inner]


def _blur(x: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.arange(-5, 6)
    g = np.exp(-(t**2) / (2 * 1.5**2))
    g /= g.sum()
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(x, g.size, axis=axis)
        x = windows @ g
    return x
