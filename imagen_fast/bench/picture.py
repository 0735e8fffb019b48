"""The pictures that are enlarged: made by arithmetic, alike on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pictures(count: int, side: int) -> NDArray[np.float32]:
    """(count, side, side, 3) float32 in [0, 1]: shades, edges, waves and grain, all different."""
    rng = np.random.default_rng(0)
    y, x = (np.arange(side, dtype=np.float32) / max(side, 64) for _ in range(2))
    made = np.empty((count, side, side, 3), np.float32)
    for picture in made:
        picture[:] = (0.3 + 0.4 * y)[:, None, None] + 0.2 * x[None, :, None]
        for channel in range(3):
            fx, fy, phase = rng.uniform(2, 40, 2).tolist() + rng.uniform(0, 6, 1).tolist()
            waves = np.sin(fx * x[None, :] + fy * y[:, None] * (1 + x[None, :]) + phase)
            picture[..., channel] += 0.2 * waves
        for _ in range(12):  # edges
            top, left = rng.integers(0, max(1, side - 4), 2)
            height, width = rng.integers(2, max(3, side // 3), 2)
            part = picture[top : top + height, left : left + width]
            part[:] = 0.5 * part + 0.5 * rng.uniform(0, 1, 3).astype(np.float32)
        picture += 0.02 * rng.standard_normal(picture.shape, np.float32)
    return made.clip(0, 1)
