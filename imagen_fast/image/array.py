"""Arrays as pictures: which ones are taken, and what their channels mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import ImageError

Samples = NDArray[Any]


def from_array(image: Samples) -> tuple[Samples, Samples | None]:
    """(H, W) or (H, W, 1 to 4) → color (H, W, 1 or 3) and alpha (H, W) or None, as views.

    Two channels are grey and alpha, four are RGB and alpha. uint8, uint16 or float32.

    Raises:
        ImageError: another shape or dtype, no pixels, or floats outside 0 to 1.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and not 1 <= image.shape[2] <= 4):
        raise ImageError(
            f"an array of shape {image.shape} is not a picture; expected (H, W) or (H, W, C) "
            "with 1 to 4 channels last"
        )
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ImageError(
            f"an array of {image.dtype} is not a picture; expected uint8, uint16, or float32 "
            "from 0 to 1"
        )
    if image.size == 0:
        raise ImageError(f"a picture needs at least one pixel; the array has shape {image.shape}")
    if image.dtype == np.float32 and not (image.min() >= 0 and image.max() <= 1):  # or NaN
        raise ImageError(
            f"floats must lie between 0 and 1, these go from {image.min()} to {image.max()}; "
            "divide by the largest value there can be, and clip"
        )
    samples = image.reshape(*image.shape[:2], -1)
    channels = 3 if samples.shape[2] >= 3 else 1
    alpha = samples[..., channels] if samples.shape[2] > channels else None
    return samples[..., :channels], alpha
