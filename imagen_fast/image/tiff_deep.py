"""16-bit grey and RGB of TIFF, of which Pillow keeps 8 bits: twice 8 bits.

libtiff decodes the file as it is, with all of its tags. Only what Pillow unpacks of that is chosen
here: once the upper bytes of all samples, once the lower ones.
"""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from imagen_fast.errors import ImageError
from imagen_fast.image import ifd, tags
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import bands
from imagen_fast.image.tiff_page import UNCOMPRESSED, Page

_DEFLATE = 8
_FILE_ORDER = re.compile(r"(?<=[IF];\d\d)B(?=[SF]$)")  # in Pillow's names of how to unpack
_SWAPPED = "B" if sys.byteorder == "little" else "L"  # the order that libtiff's samples have not
# Pillow's mode, and how it is to unpack libtiff's samples into it, for each number of channels.
_WAYS = {
    1: ("I;16", ("I;16N",)),
    2: ("RGBA", ("RGBA",)),  # four bytes, as they are
    3: ("RGB", ("RGB;16N", f"RGB;16{_SWAPPED}")),
    4: ("RGBA", ("RGBA;16N", f"RGBA;16{_SWAPPED}")),
}


class Reader(TiffImageFile):
    """Pillow's reader without its own limit (the size has been checked against the caller's), which
    leaves the order of bits to libtiff.
    """

    def load_prepare(self) -> None:
        """Have an image ready, which keeps the limit from being asked for."""
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()

    def _setup(self) -> None:
        if 2 in (self.tag_v2.get(tags.FILL_ORDER), self.tag_v2.get(tags.PLANAR)):
            self._leave_to_libtiff()
        super()._setup()
        # libtiff's samples have this machine's order, which Pillow forgets of 32 bits and signs.
        self.tile = [
            tile._replace(args=(_FILE_ORDER.sub("N", tile.args[0]), *tile.args[1:]))
            if tile.codec_name == "libtiff" and isinstance(tile.args, tuple)
            else tile
            for tile in self.tile
        ]

    def _leave_to_libtiff(self) -> None:
        """Hide from Pillow, but not from libtiff, what keeps it from handing the file on."""
        self.tag_v2[tags.FILL_ORDER] = 1
        if self.tag_v2.get(tags.COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED:
            self.tag_v2[tags.COMPRESSION] = _DEFLATE


class _Told(Reader):
    """A reader that is told its mode, and how to unpack what libtiff decodes."""

    def __init__(self, file: BinaryIO, mode: str, unpack: str) -> None:
        self._way = mode, unpack
        super().__init__(file)

    def _setup(self) -> None:
        for tag, value in {tags.BITS: (8,), tags.SAMPLES: 1, tags.PHOTOMETRIC: 1}.items():
            self.tag_v2[tag] = value
        for tag in (tags.EXTRA, tags.FORMAT, tags.PLANAR):
            self.tag_v2.pop(tag, None)
        self._leave_to_libtiff()
        super()._setup()  # of any mode that Pillow knows
        self._mode, unpack = self._way
        (tile,) = self.tile
        assert isinstance(tile.args, tuple)
        self.tile = [tile._replace(args=(unpack, *tile.args[1:]))]


def decode(file: BinaryIO, page: Page, places: list[tuple[int, int]]) -> Picture:
    """The page, 16-bit grey or RGB with or without alpha, upright and without metadata.

    places  offset and length of each of its parts
    """
    samples, photometric = page.number(tags.SAMPLES, 1), page.number(tags.PHOTOMETRIC)
    channels = 3 if photometric == 2 else 1
    if samples not in (channels, channels + 1):
        raise ImageError(f"it has {samples} channels, expected {channels} and at most one of alpha")
    if page.planes > 1:
        # With the parts of a plane before the others, it is what libtiff takes for the first one.
        step = len(places) // page.planes
        whole = np.concatenate(
            [
                _samples(described(file, page, places[first:] + places[:first]), 1)
                for first in range(0, len(places), step)
            ],
            axis=2,
        )
    else:
        whole = _samples(file, samples)
    if photometric == 0:
        whole[..., 0] ^= 0xFFFF  # white is zero
    color, alpha = np.ascontiguousarray(whole[..., :channels]), None
    role = page.number(tags.EXTRA, 2)  # 0 unspecified, 1 premultiplied alpha, 2 alpha
    if samples > channels and role in (1, 2):
        alpha = np.ascontiguousarray(whole[..., channels])
        if role == 1:
            _divide(color, alpha)
        if tags.EXTRA not in page.directory and not alpha.any():
            alpha = None  # a fourth sample of which nothing says that it is alpha, and unused
    return Picture(color, alpha)


def _samples(file: BinaryIO, channels: int) -> NDArray[np.uint16]:
    """All samples (H, W, C) of a file whose channels lie together, or of its first plane."""
    mode, ways = _WAYS[channels]
    whole: NDArray[np.uint16] | None = None
    for unpack in ways:
        file.seek(0)
        with _Told(file, mode, unpack) as image:
            image.load()  # Pillow applies the orientation itself
            if whole is None:
                whole = np.empty((image.height, image.width, channels), np.uint16)
            for top, band in bands(image):
                rows = whole[top : top + band.height]
                found = np.asarray(band)
                if len(ways) == 1:
                    rows[:] = found.view(np.uint16).reshape(rows.shape)
                elif unpack == ways[0]:
                    rows[:] = found
                    rows <<= 8
                else:
                    rows |= found
    assert whole is not None
    return whole


def described(file: BinaryIO, page: Page, places: list[tuple[int, int]]) -> BinaryIO:
    """The file with another directory, which says that the picture's parts lie here.

    A big-endian BigTIFF file, which Pillow does not know, becomes a TIFF file.
    """
    layout = page.layout
    if layout.foreign:
        layout = replace(layout, big=False)
    kind = ifd.LONG8 if layout.big else ifd.LONG
    values = dict(zip(page.place_tags, zip(*places, strict=True), strict=True))
    directory = page.sound()
    for tag, value in directory.items():
        if isinstance(value, ifd.Value) and value.kind == ifd.LONG8:
            values.setdefault(tag, page.layout.numbers(value))
    directory |= {tag: layout.value(kind, *numbers) for tag, numbers in values.items()}
    file.seek(0)
    data = bytearray(file.read())
    data += bytes(len(data) % 2)
    header = layout.header(len(data))
    data[: len(header)] = header
    return io.BytesIO(data + ifd.build(directory, layout, len(data)))


def _divide(color: NDArray[Any], alpha: NDArray[Any]) -> None:
    """Undo premultiplication in place, row by row."""
    for row, opacity in zip(color, alpha[..., None].astype(np.uint64), strict=True):
        full = (row.astype(np.uint64) * 65535 + opacity // 2) // np.maximum(opacity, 1)
        row[:] = np.minimum(full, 65535)
