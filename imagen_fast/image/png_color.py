"""What a PNG file says of its colours beside a profile: chunks gAMA, cHRM, sRGB and cICP.

They are carried from PNG to PNG, byte for byte, and interpreted nowhere. PNG (Third Edition), W3C,
section 11.3.2.
"""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO, TypeAlias

Chunks: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""(name, data) of each."""

_SIZES = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
_BEHIND = (b"PLTE", b"IDAT", b"IEND")  # all of them have to come before these


def parse(file: BinaryIO) -> Chunks:
    """The chunks of an open PNG file, each once; those that are damaged are left out."""
    found: dict[bytes, bytes] = {}
    position = 8
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or head[4:] in _BEHIND:
            return tuple(found.items())
        length, name = struct.unpack(">I4s", head)
        if name not in found and length == _SIZES.get(name):
            data, checksum = file.read(length), file.read(4)
            if checksum == struct.pack(">I", zlib.crc32(name + data)) and _makes_sense(name, data):
                found[name] = data
        position += 12 + length


def _makes_sense(name: bytes, data: bytes) -> bool:
    if name == b"sRGB":
        return data[0] <= 3  # rendering intents
    if name == b"cICP":
        return data[2] == 0 and data[3] <= 1  # RGB, of full range or not
    return name != b"gAMA" or any(data)
