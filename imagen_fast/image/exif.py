"""Read and change single numbers of an EXIF block in place.

An EXIF block is a small TIFF file: a header and directories of 12-byte entries (EXIF 3.0,
section 4.6). Rewriting one moves what it holds, and maker notes address their data by absolute
position; so what has to change is overwritten where it lies, and every other byte stays. A block
that is damaged is read as far as it goes and never stops a picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

ORIENTATION = 0x0112
EXIF_DIRECTORY = 0x8769
PIXEL_X, PIXEL_Y = 0xA002, 0xA003

_FORMATS = {3: "H", 4: "I"}  # SHORT and LONG; a single one lies in the entry itself


def plain(block: object) -> bytes | None:
    """The EXIF block without JPEG's `Exif\\0\\0` in front; None if it is no EXIF block."""
    if not isinstance(block, bytes):
        return None
    block = block.removeprefix(b"Exif\0\0")
    return block if block[:4] in (b"II*\0", b"MM\0*") and len(block) >= 8 else None


def orientation(exif: bytes | None) -> int:
    """The orientation tag, 1 to 8; 1 (upright) if there is none or it makes no sense."""
    for tag, value, _ in _numbers(exif or b""):
        if tag == ORIENTATION and 1 <= value <= 8:
            return value
    return 1


def upright(exif: bytes) -> bytes:
    """The block of a picture that has been turned upright: orientation 1, no thumbnail.

    The thumbnail is unlinked because it is still lying on its side.
    """
    exif = _replaced(exif, {ORIENTATION: 1})
    order, first = _header(exif)
    try:
        (count,) = struct.unpack_from(order + "H", exif, first)
        link = first + 2 + 12 * count
        struct.unpack_from(order + "I", exif, link)
    except struct.error:
        return exif
    return exif[:link] + bytes(4) + exif[link + 4 :]


def upright_xmp(xmp: bytes) -> bytes:
    """The XMP packet of a picture that has been turned upright."""
    return re.sub(rb'(tiff:Orientation(?:=["\']|>))[1-8]', rb"\g<1>1", xmp)


def resized(exif: bytes, height: int, width: int) -> bytes:
    """The block with the picture's size, where it states one, set to height × width."""
    return _replaced(exif, {PIXEL_X: width, PIXEL_Y: height})


def _replaced(exif: bytes, values: dict[int, int]) -> bytes:
    block = bytearray(exif)
    order, _ = _header(exif)
    for tag, _, position in _numbers(exif):
        if tag in values:
            (kind,) = struct.unpack_from(order + "H", exif, position - 6)
            if values[tag] < 2 ** (8 * struct.calcsize(_FORMATS[kind])):
                struct.pack_into(order + _FORMATS[kind], block, position, values[tag])
    return bytes(block)


def _numbers(exif: bytes) -> Iterator[tuple[int, int, int]]:
    """(tag, value, position of the value) of the single integers in both directories."""
    try:
        order, first = _header(exif)
        for tag, value, position in _directory(exif, order, first):
            yield tag, value, position
            if tag == EXIF_DIRECTORY:
                yield from _directory(exif, order, value)
    except struct.error:
        return


def _directory(exif: bytes, order: str, start: int) -> Iterator[tuple[int, int, int]]:
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(order + "HHI", exif, entry)
        if length == 1 and kind in _FORMATS:
            yield tag, *struct.unpack_from(order + _FORMATS[kind], exif, entry + 8), entry + 8


def _header(exif: bytes) -> tuple[str, int]:
    order = "<" if exif[:2] == b"II" else ">"
    return order, *struct.unpack_from(order + "I", exif, 4)
