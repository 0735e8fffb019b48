"""The type of pictures in memory, for every module that handles them."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

# (H, W, C), (H, W) or (N, H, W, C); uint8 and uint16 over their whole range, float32 in [0, 1].
Samples: TypeAlias = NDArray[Any]
