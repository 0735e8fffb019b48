"""Read and change single numbers of an EXIF block in place.

An EXIF block is a small TIFF file: a header and directories of 12-byte entries (EXIF 3.0,
section 4.6). Rewriting one moves what it holds, and maker notes address their data by absolute
position; so what has to change is overwritten where it lies, what has to go loses its entry alone,
and every other byte stays. A block that is damaged is read as far as it goes and never stops a
picture.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

ORIENTATION = 0x0112
# The same size, by TIFF, by EXIF and for a picture that others were derived from.
WIDTHS, HEIGHTS = (0x0100, 0xA002, 0x1001), (0x0101, 0xA003, 0x1002)
# What tells of single pixels: FocalPlaneX-, YResolution and their unit, SubjectLocation and -Area.
PLACES = (0xA20E, 0xA20F, 0xA210, 0xA214, 0x9214)
_DIRECTORIES = (0x8769, 0xA005)  # of EXIF and, in it, of interoperability

_SHORT, _LONG = 3, 4
_FORMATS = {_SHORT: "H", _LONG: "I"}


def plain(block: object) -> bytes | None:
    """The EXIF block without JPEG's `Exif\\0\\0` in front; None if it is no EXIF block."""
    if not isinstance(block, bytes):
        return None
    block = block.removeprefix(b"Exif\0\0")
    return block if block[:4] in (b"II*\0", b"MM\0*") and len(block) >= 8 else None


def of_text(text: object) -> bytes | None:
    """EXIF as ImageMagick wrote it to PNG before there was a chunk for it: lines of hex."""
    try:
        return plain(bytes.fromhex("".join(str(text).split("\n")[3:])))
    except ValueError:
        return None


def orientation(exif: bytes | None) -> int:
    """The orientation tag, 1 to 8; 1 (upright) if there is none or it makes no sense."""
    for entry in _entries(exif or b""):
        value = _number(exif or b"", entry) or 0
        if entry.tag == ORIENTATION and 1 <= value <= 8:
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


def resized(exif: bytes, height: int, width: int) -> bytes:
    """The block with the picture's size, wherever it states one, set to height × width."""
    return _replaced(exif, dict.fromkeys(WIDTHS, width) | dict.fromkeys(HEIGHTS, height))


def states(exif: bytes, height: int, width: int) -> bool:
    """Whether the block states a size of the picture, and no other one than height × width."""
    sizes = dict.fromkeys(WIDTHS, width) | dict.fromkeys(HEIGHTS, height)
    found = [entry for entry in _entries(exif) if entry.tag in sizes]
    return bool(found) and all(_number(exif, entry) == sizes[entry.tag] for entry in found)


def without_places(exif: bytes) -> bytes:
    """The block without what it tells of single pixels of a picture of another size."""
    block = bytearray(exif)
    # From the last one on, as what follows an entry in its directory moves up.
    for entry in sorted(_entries(exif), key=lambda entry: entry.position, reverse=True):
        if entry.tag in PLACES:
            _remove(block, entry)
    return bytes(block)


class _Entry(NamedTuple):
    """One entry: its tag, type and count, where it lies, and where its directory begins."""

    tag: int
    kind: int
    length: int
    position: int
    directory: int


def _replaced(exif: bytes, values: dict[int, int]) -> bytes:
    block = bytearray(exif)
    order, _ = _header(exif)
    for entry in _entries(exif):
        if entry.tag in values and _number(exif, entry) is not None:
            value = values[entry.tag]
            kind = entry.kind if value < 1 << 16 else _LONG
            struct.pack_into(order + "H", block, entry.position + 2, kind)
            struct.pack_into(order + _FORMATS[kind], block, entry.position + 8, value)
    return bytes(block)


def _remove(block: bytearray, entry: _Entry) -> None:
    order, _ = _header(block)
    (count,) = struct.unpack_from(order + "H", block, entry.directory)
    end = entry.directory + 2 + 12 * count + 4  # behind the place of the next directory
    if entry.position + 12 > end:  # directories that overlap
        return
    block[entry.position : end] = block[entry.position + 12 : end] + bytes(12)
    struct.pack_into(order + "H", block, entry.directory, count - 1)


def _number(exif: bytes, entry: _Entry) -> int | None:
    """The value of an entry that is a single integer, which lies in the entry itself."""
    if entry.length != 1 or entry.kind not in _FORMATS:
        return None
    order, _ = _header(exif)
    return int(struct.unpack_from(order + _FORMATS[entry.kind], exif, entry.position + 8)[0])


def _entries(exif: bytes) -> Iterator[_Entry]:
    """The entries of the first directory, and of those of EXIF and interoperability in it."""
    try:
        order, first = _header(exif)
        directories = {0: first}
        for _ in range(1 + len(_DIRECTORIES)):
            if not directories:
                return
            _, directory = directories.popitem()
            (count,) = struct.unpack_from(order + "H", exif, directory)
            for position in range(directory + 2, directory + 2 + 12 * count, 12):
                tag, kind, length = struct.unpack_from(order + "HHI4x", exif, position)
                entry = _Entry(tag, kind, length, position, directory)
                yield entry
                inner = _number(exif, entry)
                if entry.tag in _DIRECTORIES and inner is not None:
                    directories[entry.tag] = inner
    except struct.error:
        return


def _header(exif: bytes | bytearray) -> tuple[str, int]:
    order = "<" if exif[:2] == b"II" else ">"
    return order, *struct.unpack_from(order + "I", exif, 4)
