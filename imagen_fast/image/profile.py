"""ICC profiles: whether one can be carried, and what its colours are in sRGB (ICC.1:2022)."""

from __future__ import annotations

import io
import struct

from PIL import ImageCms

LARGEST = 255 * 65_519
"""Bytes of the largest profile that is carried: what a JPEG file holds, so that all formats can."""


_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}


def complaint(profile: bytes, channels: int) -> str | None:
    """Why a profile is none of pixels of 1 (grey), 3 (RGB) or 4 (inks) channels; None if it is."""
    if len(profile) < 132 or profile[36:40] != b"acsp" or _stated(profile) > len(profile):
        return "its colour profile is damaged"
    if len(profile) > LARGEST:
        return f"its colour profile of {len(profile):,} bytes is larger than any should be"
    space, expected = profile[16:20], _SPACES[channels]
    if space != expected:
        names = [name.decode("ascii", "replace").strip() for name in (space, expected)]
        return "its colour profile is for {} pixels, not for {} ones".format(*names)
    return None


def to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform of images of `mode` (L or RGB) to sRGB; None if the profile is damaged."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


def _stated(profile: bytes) -> int:
    return int(struct.unpack_from(">I", profile)[0])
