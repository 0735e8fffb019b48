"""Frames to make films of."""

import numpy as np


def picture(number: int, height: int, width: int) -> np.ndarray:
    """A bar that moves over a ramp, (H, W, 3) uint8."""
    ramp = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 3))
    ramp[:, :, 1] = np.linspace(60, 180, height)[:, None]
    at = 3 * number % width
    ramp[:, at : at + 4] = (200, 60, 90)
    return ramp.astype(np.uint8)
