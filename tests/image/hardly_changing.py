"""Pictures of nearly one colour, and enlargements of any."""

import numpy as np


def pictures(height, width, scale, spread, dtype, seed):
    """Inputs that change by `spread` levels, and outputs of any colour."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256 - spread, (2, 1, 1, 3))
    tiles = base + rng.integers(0, spread + 1, (2, height, width, 3))
    tiles[rng.random((2, height, width)) < 0.01] = 255  # and an edge here and there
    output = rng.integers(0, 256, (2, scale * height, scale * width, 3))
    if dtype == np.uint8:
        return tiles.astype(np.uint8), output.astype(np.uint8)
    return [(x / 255).astype(np.float32) for x in (tiles, output)]
