"""JPEG through Pillow, of which it sees no more than the picture.

A file may hold metadata that is damaged, a video behind the picture, and no end mark. So segments
that Pillow cannot take are left out, and the file ends where its last pixel does. ITU-T T.81,
annex B; T.86 for what follows.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from PIL import ImageChops
from PIL.JpegImagePlugin import JpegImageFile

from imagen_fast.errors import ImageError
from imagen_fast.image.limits import check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil

_SCAN, _END = 0xDA, 0xD9
_BARE = (0x01, 0xD8)  # markers that no length follows
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF, 0xF7)  # the last is JPEG-LS
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_METADATA = {*range(0xE0, 0xF0), 0xFE}  # application segments and comments
_SEGMENTS = _FRAMES | {0xC4, 0xCC, *range(0xDA, 0xE0)} | _METADATA
# In compressed data 0xFF comes before 0 or the mark of a restart, of which both belong to it.
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")

# Segments of metadata that are read: marker, how it starts, and the least bytes that it has.
_READ = (
    (0xE0, b"JFIF\0", 14),
    (0xE1, b"Exif\0\0", 14),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0", 30),
    (0xE2, b"ICC_PROFILE\0", 15),
    (0xEE, b"Adobe", 12),  # how colours are coded
)
_GAIN_MAP = (0xE2, b"urn:iso:std:iso:ts:21496:-1\0")
# Put behind compressed data to see whether any of it becomes pixels; rare codes come first.
_NOISE = bytes(range(0xFE, 0, -1))
_TRUNCATED = "the JPEG file is damaged or truncated: some of its picture is missing"
_VIDEO = b"ftyp"  # starts a box of ISO 14496-12, behind the four bytes of its length


class _Jpeg(JpegImageFile):
    """Pillow's reader, but EXIF is parsed here only, and without a warning where it is damaged."""

    def _read_dpi_from_exif(self) -> None:
        pass


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open JPEG file → Picture, upright, uint8."""
    data = file.read()
    found = _parts(data)
    with _load(found.joined(data), max_pixels) as image:
        if not found.ended:
            with _load(found.joined(data, _NOISE), max_pixels) as noisy:
                if ImageChops.difference(image, noisy).getbbox():
                    raise ImageError(_TRUNCATED)
        picture = from_pil(image)
        if image.info.get("icc_profile", b"") is None:
            found.lost.append("its colour profile is damaged, so it is left out")
    metadata = picture.metadata
    return replace(picture, metadata=replace(metadata, lost=(*found.lost, *metadata.lost)))


def _load(data: bytes, max_pixels: int) -> _Jpeg:
    image = _Jpeg(io.BytesIO(data))
    check_size(image.width, image.height, max_pixels)
    image.load()
    return image


@dataclass
class _Scans:
    """Which coefficients of which component have come in full."""

    progressive: bool = False
    components: bytes = b""
    done: set[tuple[int, int]] = field(default_factory=set)

    def frame(self, marker: int, segment: bytes) -> None:
        """A frame's header, which says what there is. Raises ImageError if that cannot be read."""
        lossless, bits = marker in _LOSSLESS, int.from_bytes(segment[:1], "big")
        if lossless or bits != 8:
            kind = "a lossless JPEG" if lossless else f"a JPEG of {bits} bits a sample"
            raise ImageError(f"it is {kind}, which cannot be read: convert it to PNG or TIFF")
        self.progressive, self.components = marker in _PROGRESSIVE, segment[6::3]

    def scan(self, segment: bytes) -> None:
        """A scan's header, which says what follows."""
        count = segment[0]
        first, last, precision = segment[1 + 2 * count : 4 + 2 * count]
        if self.progressive and precision & 15:  # lower bits are still to come
            return
        came = range(first, last + 1) if self.progressive else range(64)
        self.done |= {(name, k) for name in segment[1 : 1 + 2 * count : 2] for k in came}

    @property
    def complete(self) -> bool:
        """Whether no other scan is needed."""
        return bool(self.components) and all(
            (name, k) in self.done for name in self.components for k in range(64)
        )


@dataclass
class _Parts:
    """Which bytes of a file are the picture, whether its end mark is behind, what is left out."""

    kept: list[tuple[int, int]] = field(default_factory=list)
    ended: bool = False
    lost: list[str] = field(default_factory=list)

    def joined(self, data: bytes, behind: bytes = b"") -> bytes:
        """A file of the picture alone, with something between its data and its end mark."""
        parts = (data[begin:end] for begin, end in self.kept)
        return b"".join([b"\xff\xd8", *parts, behind, b"\xff\xd9"])


def _parts(data: bytes) -> _Parts:
    """Read the file as far as the picture goes. Raises ImageError if part of it is missing."""
    found, scans, at, compressed = _Parts(), _Scans(), 2, False
    while mark := _MARKER.search(data, at):
        marker = mark[1][0]
        if compressed:
            found.kept.append((at, mark.start()))
            compressed = False
        found.ended = marker == _END
        if found.ended or scans.complete:
            return found if found.ended else _cut(found, data)
        at = mark.end()
        if marker in _BARE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if marker not in _SEGMENTS or length < 2 or at + length > len(data):
            break
        segment = data[at + 2 : at + length]
        at += length
        if marker in _FRAMES:
            scans.frame(marker, segment)
        elif marker == _SCAN:
            scans.scan(segment)
            compressed = True
        elif marker == _GAIN_MAP[0] and segment.startswith(_GAIN_MAP[1]):
            found.lost.append("its gain map is not carried over")
        if marker in _METADATA and not any(
            marker == read and segment.startswith(start) and len(segment) >= least
            for read, start, least in _READ
        ):
            continue
        found.kept.append((mark.end() - 2, at))
    if not (compressed and scans.complete):
        raise ImageError(_TRUNCATED)
    found.kept.append((at, len(data.rstrip(b"\xff"))))
    return _cut(found, data)


def _cut(found: _Parts, data: bytes) -> _Parts:
    """Without a video behind data that has no end mark."""
    begin, end = found.kept[-1]
    video = data.find(_VIDEO, begin, end)
    if video >= 0:
        found.kept[-1] = begin, max(begin, video - 4)
    return found
