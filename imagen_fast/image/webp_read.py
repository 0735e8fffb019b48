"""WebP through Pillow, which wants a container without a fault: it gets one of what is whole.

RFC 9649, section 2.
"""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import BinaryIO

from PIL.WebPImagePlugin import WebPImageFile

from imagen_fast.image.limits import check_frames, check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil

_METADATA = {b"ICCP": "its colour profile", b"EXIF": "its EXIF", b"XMP ": "its XMP"}
_KNOWN = {b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L", *_METADATA}


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open WebP file of one frame → Picture, upright, uint8."""
    data, lost = _tidied(file.read())
    with WebPImageFile(io.BytesIO(data)) as image:
        check_size(image.width, image.height, max_pixels)
        check_frames(image.n_frames, "frames")
        image.load()
        picture = from_pil(image)
    lost = (*lost, *picture.metadata.lost)
    return replace(picture, metadata=replace(picture.metadata, lost=lost))


def _tidied(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The file with its true length, without what is cut off; and what of its metadata was."""
    parts, lost, at = [], [], 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        whole = data[at : at + 8 + size]
        at += len(whole) + size % 2
        if name in _METADATA and len(whole) < 8 + size:
            lost.append(f"{_METADATA[name]} is cut off, so it is left out")
        elif name in _KNOWN:
            parts += [whole, bytes(size % 2)]
    content = b"".join([b"WEBP", *parts])
    return b"RIFF" + struct.pack("<I", len(content)) + content, tuple(lost)
