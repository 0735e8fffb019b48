"""The chunks of a PNG file, as far as it goes: what its end lacks is told, and nothing is refused.

PNG (Third Edition), W3C, section 5.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 16  # bytes read at a time


class Chunk(NamedTuple):
    """Where the data of a chunk lies; `valid` if its checksum is right, None if it is cut off."""

    name: bytes
    position: int
    length: int
    valid: bool | None


def chunk(name: bytes, *data: bytes) -> bytes:
    """A PNG chunk: length, name, data, checksum."""
    body = name + b"".join(data)
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def walk(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of an open PNG file before IEND, or before its end or what is no chunk."""
    size = file.seek(0, os.SEEK_END)
    position = len(SIGNATURE)
    while True:
        file.seek(position)
        head = file.read(8)
        length, name = struct.unpack(">I4s", head) if len(head) == 8 else (0, b"IEND")
        if name == b"IEND" or not name.isalpha():
            return
        position += 8
        present = min(length, size - position)
        checksum = zlib.crc32(name)
        for piece in pieces(file, position, present):
            checksum = zlib.crc32(piece, checksum)
        stated = file.read(4)
        whole = present == length and len(stated) == 4
        yield Chunk(
            name, position, present, struct.pack(">I", checksum) == stated if whole else None
        )
        position += length + 4


def pieces(file: BinaryIO, position: int, length: int) -> Iterator[bytes]:
    """The bytes of a part of the file, some at a time."""
    file.seek(position)
    for left in range(length, 0, -_PIECE):
        yield file.read(min(left, _PIECE))
