"""Random samples."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def noise(*shape: int, dtype: DTypeLike = np.uint8, seed: int = 0) -> NDArray[Any]:
    """Of all levels; floats from 0 to 1."""
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return (np.random.default_rng(seed).random(shape) * top).astype(dtype)
