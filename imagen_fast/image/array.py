"""Arrays as pictures: which ones are taken, and what their channels mean."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image import floats
from imagen_fast.samples import Samples


def from_array(image: Samples, *, quiet: bool = False) -> tuple[Samples, Samples | None]:
    """(H, W) or (H, W, 1 to 4) → color (H, W, 1 or 3) and alpha (H, W) or None, as views.

    Two channels are grey and alpha, four are RGB and alpha. uint8, uint16 or float32, those of
    the other byte order in a copy; floats up to 0.01 beyond 0 to 1 are clipped, in a copy and,
    unless `quiet`, with an ImageWarning.

    Raises:
        ImageError: another shape or dtype, no pixels, or floats farther outside 0 to 1.
    """
    image = np.asarray(image)  # of a matrix or the like, whose slices have another shape
    if not image.dtype.isnative:  # of the other byte order
        image = image.astype(image.dtype.newbyteorder("="))
    if image.ndim not in (2, 3) or (image.ndim == 3 and not 1 <= image.shape[2] <= 4):
        raise ImageError(
            f"an array of shape {image.shape} is not a picture; expected (H, W) or (H, W, C) "
            "with 1 to 4 channels last"
        )
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise ImageError(
            f"an array of {image.dtype} is not a picture; expected uint8, uint16, or float32 "
            f"from 0 to 1{_conversion(image.dtype)}"
        )
    if image.size == 0:
        raise ImageError(f"a picture needs at least one pixel; the array has shape {image.shape}")
    if image.dtype == np.float32:
        low, high = image.min(), image.max()  # NaN if there is one anywhere
        if not floats.near_unit(low, high):
            raise ImageError(
                f"floats must lie between 0 and 1, these go from {low} to {high}; divide "
                "them by the value that is white, such as 255 or 65535, and clip: "
                "(picture / 255).clip(0, 1).astype(numpy.float32)"
            )
        if note := floats.clipped_note(low, high):
            if not quiet:
                warnings.warn(note, ImageWarning, stacklevel=2)
            image = image.clip(0, 1)
    samples = image.reshape(*image.shape[:2], -1)
    channels = 3 if samples.shape[2] >= 3 else 1
    alpha = samples[..., channels] if samples.shape[2] > channels else None
    return samples[..., :channels], alpha


def _conversion(dtype: np.dtype[Any]) -> str:
    """How to make a picture of numbers of another dtype; empty for what holds no numbers."""
    if dtype.kind == "f":
        return ": picture.astype(numpy.float32)"
    if dtype.kind == "b":
        return ": picture * numpy.uint8(255)"
    if dtype.kind in "ui":
        return ": picture.astype(numpy.uint8) where 255 is white, numpy.uint16 where 65535 is"
    return ""
