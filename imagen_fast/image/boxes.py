"""Boxes: the containers of AVIF (ISO/IEC 14496-12) and JPEG 2000 (ISO/IEC 15444-1, annex I)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_FULL = {b"meta": 4}  # bytes of version and flags in front of the boxes in a box


def find(data: bytes, *path: bytes) -> Iterator[bytes]:
    """The content of every box at `path`, names from the outside in. Ends where it is damaged."""
    position = 0
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if length == 1 and start + 8 <= len(data):
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = len(data) if length == 0 else position + length
        if end < start:
            return
        if name == path[0]:
            content = data[start:end]
            if len(path) == 1:
                yield content
            else:
                yield from find(content[_FULL.get(name, 0) :], *path[1:])
        position = end
