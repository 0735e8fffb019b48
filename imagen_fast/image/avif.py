"""AVIF through Pillow, which has it from 11.3 on, unless it was built without."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from imagen_fast.errors import ImageError
from imagen_fast.image import boxes
from imagen_fast.image.limits import check_frames, check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil

# Code points (ITU-T H.273) that are shown as sRGB is, or say nothing.
_SRGB_PRIMARIES = (1, 2)
_SRGB_TRANSFERS = (1, 2, 6, 13, 14, 15)


def missing() -> str | None:
    """Why this Pillow has no AVIF, and what to do; None if it has."""
    try:
        from PIL import AvifImagePlugin
    except ImportError:
        supported = False
    else:
        supported = AvifImagePlugin.SUPPORTED
    return None if supported else "AVIF needs Pillow 11.3 or newer with libavif: upgrade pillow"


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open AVIF file of one frame → Picture, upright, of 8 bits.

    Colours that are neither those of sRGB nor described by a profile (HDR) are said in a cICP
    chunk of PNG.
    """
    if lacking := missing():
        raise ImageError(lacking)
    from PIL.AvifImagePlugin import AvifImageFile

    head = boxes.find(file.read(1 << 20), b"meta", b"iprp", b"ipco", b"colr")
    codes = [content[4:8] for content in head if content.startswith(b"nclx")]
    file.seek(0)
    with AvifImageFile(file) as image:
        check_size(image.width, image.height, max_pixels)
        check_frames(image.n_frames, "frames")
        image.load()
        picture = from_pil(image)
    if not codes or len(codes[0]) < 4 or picture.metadata.icc:
        return picture
    primaries, transfer = codes[0][1], codes[0][3]
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return picture
    cicp = (b"cICP", bytes([primaries, transfer, 0, 1]))
    return replace(picture, metadata=replace(picture.metadata, png=(cicp,)))
