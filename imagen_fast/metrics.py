"""PSNR of any two arrays; PSNR and SSIM as super-resolution papers report them: on Y, cropped."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imagen_fast.samples import Samples

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


def psnr(output: Samples, truth: Samples, peak: float | None = None) -> float:
    """In dB over all samples; infinite if they are equal, -inf if any is not finite.

    Without a `peak` it is 255 for bytes, 1 for pictures in floats, and the largest value of `truth`
    where that is more. Another shape than the truth's is -inf as well.
    """
    if output.shape != truth.shape:
        return -math.inf
    if peak is None:
        peak = 255.0 if truth.dtype == np.uint8 else max(1.0, float(np.abs(truth).max()))
    error = float(np.mean((output.astype(np.float64) - truth) ** 2))
    if not math.isfinite(error):
        return -math.inf
    return math.inf if error == 0 else 10.0 * math.log10(peak**2 / error)


def luma_psnr(a: Uint8, b: Uint8, border: int = 0) -> float:
    """PSNR in dB of two pictures of one shape on Y, `border` pixels cropped from every side."""
    return psnr(*_cropped(a, b, border), peak=255.0)


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
