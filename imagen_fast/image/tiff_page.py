"""A page of a TIFF file: what its directory says of its samples, and what it carries (TIFF 6.0)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from imagen_fast.errors import ImageError
from imagen_fast.image import ifd, png_color, resolution, tags
from imagen_fast.image.picture import Metadata

UNCOMPRESSED = 1
_INKS, _LAB = 5, 8
_FLOAT = 3
_CARRIED = (*tags.DESCRIPTIVE, tags.XMP, tags.ICC, tags.X_RESOLUTION, tags.Y_RESOLUTION)


@dataclass(frozen=True)
class Page:
    """A directory of the file, asked for numbers."""

    layout: ifd.Layout
    directory: ifd.Directory

    def numbers(self, tag: int, *default: int) -> tuple[int, ...]:
        """A tag's integers. Raises ImageError if it has none and there is no default."""
        value = self.directory.get(tag)
        found = self.layout.numbers(value) if isinstance(value, ifd.Value) else ()
        if not found and not default:
            raise ImageError(f"the TIFF file is damaged: its tag {tag} is missing")
        return found or default

    def number(self, tag: int, *default: int) -> int:
        """The first of them."""
        return self.numbers(tag, *default)[0]

    def sound(self) -> ifd.Directory:
        """The directory without what is empty in it, because it lies behind the file's end."""
        return {
            tag: value
            for tag, value in self.directory.items()
            if (value.data if isinstance(value, ifd.Value) else value)
        }

    @property
    def deep(self) -> bool:
        """Whether it is 16-bit grey or RGB. Raises ImageError for depths that are not handled."""
        bits = set(self.numbers(tags.BITS, 1))
        if bits - {1, 2, 4, 8, 16, 32}:
            raise ImageError(f"samples of {sorted(bits)} bits are not handled, expected 8 or 16")
        unsigned, samples = set(self.numbers(tags.FORMAT, 1)) == {1}, self.number(tags.SAMPLES, 1)
        if (32 in bits and samples > 1) or (16 in bits and _FLOAT in self.numbers(tags.FORMAT, 1)):
            raise ImageError(
                f"{samples} channels of {max(bits)} bits, with sign or as floating-point numbers, "
                "are not handled: save it with 8 or 16 bits (of one channel 32 are read, too)"
            )
        if samples == self.planes == 2 and bits != {16}:
            raise ImageError(
                "grey and alpha stored apart are read of 16 bits only: save it with both together"
            )
        return bits == {16} and unsigned and self.number(tags.PHOTOMETRIC) in (0, 1, 2)

    @property
    def inks(self) -> bool:
        """Whether its channels are inks."""
        return self.number(tags.PHOTOMETRIC, 1) == _INKS

    @property
    def planes(self) -> int:
        """How many parts its channels are stored apart in."""
        return self.number(tags.SAMPLES, 1) if self.number(tags.PLANAR, 1) == 2 else 1

    @property
    def place_tags(self) -> tuple[int, int]:
        """The tags of offsets and lengths of its parts, which are strips or tiles."""
        tiled = tags.TILE_OFFSETS in self.directory
        return (tags.TILE_OFFSETS, tags.TILE_COUNTS) if tiled else (tags.OFFSETS, tags.COUNTS)

    def places(self, size: int) -> list[tuple[int, int]]:
        """(offset, length) of every part in a file of `size` bytes.

        Without compression a length follows from the picture's size, so it may be missing or reach
        behind the file's end. Raises ImageError if other lengths are missing.
        """
        offset_tag, count_tag = self.place_tags
        offsets = self.numbers(offset_tag)
        plain = self.number(tags.COMPRESSION, UNCOMPRESSED) == UNCOMPRESSED
        counts = self.numbers(count_tag, *([0] * len(offsets) if plain else ()))
        places = list(zip(offsets, counts, strict=True))
        if not plain or all(0 < count <= size - offset for offset, count in places):
            return places
        height, row, rows, across = self._blocks()
        down = math.ceil(height / rows)
        if down * across * self.planes != len(places):
            raise ImageError(f"the TIFF file is damaged: it has {len(places)} parts")
        if tags.TILE_OFFSETS in self.directory:
            height = down * rows  # tiles at the lower edge are whole
        for index, (offset, count) in enumerate(places):
            top = index // across % down * rows
            if not 0 < count <= size - offset:
                places[index] = offset, min(rows, height - top) * row
        return places

    def _blocks(self) -> tuple[int, int, int, int]:
        """The height; of an uncompressed part bytes of a row, and rows; parts beside each other."""
        width, height = self.number(tags.WIDTH), self.number(tags.HEIGHT)
        bits, samples = self.numbers(tags.BITS, 1), self.number(tags.SAMPLES, 1)
        pixel = sum(bits) if len(bits) == samples else bits[0] * samples
        if tags.TILE_OFFSETS in self.directory:
            side, rows = self.number(tags.TILE_WIDTH), self.number(tags.TILE_HEIGHT)
        else:
            side, rows = width, min(self.number(tags.ROWS, height), height)
        row = math.ceil(side * pixel / self.planes / 8)
        return height, row, rows, math.ceil(width / side)

    def metadata(self) -> Metadata:
        """What the file carries, not yet asked whether it is true of the pixels."""
        data = {
            tag: value.data for tag, value in self.directory.items() if isinstance(value, ifd.Value)
        }
        dpi = resolution.of_directory(self.layout, self.directory)
        if dpi and self.number(tags.ORIENTATION, 1) >= 5:
            dpi = dpi[::-1]
        photometric = self.number(tags.PHOTOMETRIC, 1)
        icc = None if photometric == _LAB else data.get(tags.ICC) or None
        lost = []
        if damaged := [str(tag) for tag in _CARRIED if data.get(tag) == b""]:
            lost.append(f"its tag {' and '.join(damaged)} is damaged, so it is left out")
        if icc is None and photometric != _LAB and self._primaries_differ():
            lost.append("what it says of its primary colours without a profile is not carried over")
        return Metadata(icc, self._exif(), data.get(tags.XMP) or None, dpi, lost=tuple(lost))

    def _exif(self) -> bytes | None:
        """What the directory says of the photograph, as an EXIF block; None if nothing."""
        kept = {tag: value for tag, value in self.sound().items() if tag in tags.DESCRIPTIVE}
        if not kept:
            return None
        plain = replace(self.layout, big=False)
        kept[tags.ORIENTATION] = plain.value(ifd.SHORT, 1)
        return plain.header(8) + ifd.build(kept, plain, at=8)

    def _primaries_differ(self) -> bool:
        """Whether it states primaries or a white that are not those of sRGB."""
        stated = (*self.numbers(tags.WHITE_POINT, 0), *self.numbers(tags.PRIMARIES, 0))
        if len(stated) != 2 * len(png_color.CHROMATICITIES):
            return False
        pairs = zip(stated[::2], stated[1::2], strict=True)
        found = [100_000 * above / max(below, 1) for above, below in pairs]
        return png_color.far(found, png_color.CHROMATICITIES)
