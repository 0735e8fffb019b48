"""What the ancillary chunks of a PNG file say. PNG (Third Edition), W3C, section 11.3.

One that is damaged is left out and named. Of texts only XMP and EXIF are read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from imagen_fast.image import exif, png_color, profile, resolution
from imagen_fast.image.picture import Metadata
from imagen_fast.image.png_chunks import Chunk

_XMP, _EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"
_LARGEST_TEXT = 1 << 22  # bytes, decompressed
_METRE = 1  # unit of pHYs
_KEY_BYTES = {0: 2, 2: 6, 3: 1}  # at least, of tRNS in each colour type that may have one


@dataclass
class Ancillary:
    """What a file says beside its pixels.

    key     data of its tRNS chunk
    frames  of its animation; 1 if it has none
    lost    names of the chunks that are damaged
    """

    kind: int
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    color: dict[bytes, bytes] = field(default_factory=dict)
    key: bytes | None = None
    frames: int = 1
    lost: dict[bytes, None] = field(default_factory=dict)

    def metadata(self) -> Metadata:
        """The metadata, not yet asked whether it is true of the pixels."""
        names = " and ".join(name.decode() for name in self.lost)
        lost = (f"its PNG chunk {names} is damaged, so it is left out",) if names else ()
        dpi = self.dpi or resolution.of_exif(self.exif)
        color = tuple(self.color.items())
        return Metadata(self.icc, self.exif, self.xmp, resolution.sensible(dpi), color, lost)


def parse(file: BinaryIO, kind: int, chunks: Iterable[Chunk]) -> Ancillary:
    """What the chunks of an open file of this colour type say; of several the first counts."""
    told = Ancillary(kind)
    for part in chunks:
        reader = _READERS.get(part.name)
        if reader is None:
            continue
        # A profile is compressed, and that has a checksum of its own.
        try:
            if not part.valid and not (part.name == b"iCCP" and part.valid is False):
                raise ValueError("its checksum is wrong or cut off")
            file.seek(part.position)
            reader(told, file.read(part.length))
        except (ValueError, struct.error, zlib.error):
            told.lost[part.name] = None
    return told


def _profile(told: Ancillary, data: bytes) -> None:
    told.icc = told.icc or _inflated(_after_name(data), profile.LARGEST)


def _exif(told: Ancillary, data: bytes) -> None:
    block = exif.plain(data)
    if block is None:
        raise ValueError
    told.exif = block


def _text(told: Ancillary, data: bytes) -> None:
    if data.startswith(_EXIF + b"\0"):
        told.exif = told.exif or exif.of_text(data[len(_EXIF) + 1 :].decode("latin-1"))


def _compressed_text(told: Ancillary, data: bytes) -> None:
    if data.startswith(_EXIF + b"\0"):
        _text(told, _EXIF + b"\0" + _inflated(_after_name(data), _LARGEST_TEXT))


def _international_text(told: Ancillary, data: bytes) -> None:
    if data.startswith(_XMP + b"\0"):
        compressed, method = data[len(_XMP) + 1 : len(_XMP) + 3]
        _, _, text = data[len(_XMP) + 3 :].split(b"\0", 2)
        if compressed and method:
            raise ValueError
        told.xmp = told.xmp or (_inflated(text, _LARGEST_TEXT) if compressed else text)


def _physical(told: Ancillary, data: bytes) -> None:
    x, y, unit = struct.unpack(">IIB", data)
    if unit == _METRE:
        told.dpi = told.dpi or (x * 0.0254, y * 0.0254)


def _transparency(told: Ancillary, data: bytes) -> None:
    if told.kind in _KEY_BYTES:
        if len(data) < _KEY_BYTES[told.kind]:
            raise ValueError
        told.key = told.key or data


def _animation(told: Ancillary, data: bytes) -> None:
    frames, _ = struct.unpack(">II", data)
    told.frames = frames


def _color(name: bytes) -> Callable[[Ancillary, bytes], None]:
    def read(told: Ancillary, data: bytes) -> None:
        if not png_color.makes_sense(name, data):
            raise ValueError
        told.color.setdefault(name, data)

    return read


_READERS: dict[bytes, Callable[[Ancillary, bytes], None]] = {
    b"iCCP": _profile,
    b"eXIf": _exif,
    b"tEXt": _text,
    b"zTXt": _compressed_text,
    b"iTXt": _international_text,
    b"pHYs": _physical,
    b"tRNS": _transparency,
    b"acTL": _animation,
    **{name: _color(name) for name in png_color.SIZES},
}


def _after_name(data: bytes) -> bytes:
    """What is behind a name, its end mark and the number of the only way to compress."""
    _, rest = data.split(b"\0", 1)
    if rest[:1] != b"\0":
        raise ValueError
    return rest[1:]


def _inflated(data: bytes, most: int) -> bytes:
    """No more than `most` bytes, so that a few cannot fill the memory."""
    inflate = zlib.decompressobj()
    found = inflate.decompress(data, most)
    if not inflate.eof:
        raise ValueError("it is too large or cut off")
    return found
