"""Pictures in memory, for every module that handles them."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# (H, W, C), (H, W) or (N, H, W, C); uint8 and uint16 over their whole range, float32 in [0, 1].
Samples: TypeAlias = NDArray[Any]


def full(dtype: np.dtype[Any]) -> int:
    """The sample that stands for 1."""
    return int(np.iinfo(dtype).max) if dtype.kind == "u" else 1


def rounded(samples: Samples, dtype: np.dtype[Any]) -> Samples:
    """Samples of this dtype, within whose range they are."""
    return (np.rint(samples) if dtype.kind == "u" else samples).astype(dtype)
