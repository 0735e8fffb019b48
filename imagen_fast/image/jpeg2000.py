"""JPEG 2000 through Pillow, and what its boxes carry beside the picture.

Pillow shows tiles that are missing as black, and takes no file without an end mark or with anything
but boxes behind it: tiles are counted here, and the file ends with the mark (ISO/IEC 15444-1,
annex A).
"""

from __future__ import annotations

import io
import math
import struct
from collections import Counter
from typing import BinaryIO

from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from imagen_fast.errors import ImageError
from imagen_fast.image import boxes
from imagen_fast.image.limits import check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil

_ICC = 2  # the method of a colour box that holds a profile
_START, _TILE_PART, _END = b"\xff\x4f\xff\x51", b"\xff\x90", b"\xff\xd9"
_UUIDS = {
    b"JpgTiffExif->JP2": "exif",
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): "xmp",
}


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open JP2 file or bare codestream → Picture; uint16 for grey of more than 8 bits."""
    content = file.read()
    with Jpeg2KImageFile(io.BytesIO(_ended(content))) as image:
        check_size(image.width, image.height, max_pixels)
        for color in boxes.find(content, b"jp2h", b"colr"):
            if color[:1] == bytes([_ICC]):
                image.info.setdefault("icc_profile", color[3:])
        for block in boxes.find(content, b"uuid"):
            if block[:16] in _UUIDS:
                image.info[_UUIDS[block[:16]]] = block[16:]
        image.load()
        return from_pil(image)


def _ended(content: bytes) -> bytes:
    """The file up to its picture's end mark, which is put there if only that is missing.

    Raises ImageError if parts of tiles are missing, as far as the file says how many there are.
    """
    at = content.find(_START) + 2  # at the sizes of picture and tiles
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">6x8I", content, at)
    found: Counter[int] = Counter()
    stated: dict[int, int] = {}
    while content[at : at + 2] != _END and at + 12 <= len(content):
        (length,) = struct.unpack_from(">H", content, at + 2)
        if content[at : at + 2] != _TILE_PART:
            at += 2 + length
            continue
        tile, length, parts = struct.unpack_from(">HIxB", content, at + 4)
        if not length:  # up to the end mark
            return content
        found[tile] += 1
        stated[tile] = max(parts, stated.get(tile, 1))  # 0 says nothing
        at += length
    tiles = math.ceil((right - left) / width) * math.ceil((bottom - top) / height)
    if len(found) < tiles or any(found[tile] < parts for tile, parts in stated.items()):
        raise ImageError(
            "some of its picture is missing: the JPEG 2000 file is damaged or truncated"
        )
    ended = content[at : at + 2] == _END
    cut = content[at:] in (b"", _END[:1]) and content[at - 2 : at] != _END  # which is no data
    return content[:at] + _END if ended or cut else content
