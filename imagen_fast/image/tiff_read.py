"""TIFF: through Pillow, and 16-bit grey and RGB by a detour, because Pillow keeps 8 bits of them.

The detour: the same compressed strips described by another directory, as a grey 8-bit picture
whose columns are the bytes of the samples. Pillow's libtiff then undoes the compression, whichever
it is, and hands over every byte. TIFF 6.0, section 14 (predictor), section 15 (tiles).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from imagen_fast.errors import ImageError
from imagen_fast.image import ifd, orientation, resolution, tags
from imagen_fast.image.libtiff import hushed
from imagen_fast.image.limits import check_frames, check_size
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.pillow import bands, fitting_profile, from_pil


@hushed()
def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open TIFF file of one page → Picture, upright; uint16 for 16-bit grey and RGB."""
    layout, pages = ifd.parse(file)
    page = _Page(layout, pages[0] if pages else {})
    check_size(page.number(tags.WIDTH), page.number(tags.HEIGHT), max_pixels)
    if tags.DNG_VERSION in pages[0] or page.number(tags.SUBFILE, 0) & 1:
        raise ImageError("it is a camera's raw file, which is not handled: develop it first")
    # Smaller copies of the first page and masks of it are no pages of their own.
    others = (_Page(layout, other).number(tags.SUBFILE, 0) & 0b101 for other in pages[1:])
    check_frames(1 + sum(not aside for aside in others), "pages")
    _check_extent(file, page)
    if page.is_deep():
        picture = _decode_deep(file, page)
        how = page.number(tags.ORIENTATION, 1)
        color = orientation.upright(picture.color, how)
        alpha = picture.alpha
        alpha = None if alpha is None else orientation.upright(alpha, how)
    else:
        file.seek(0)
        with _Unlimited(file) as image:
            check_size(image.width, image.height, max_pixels)
            image.load()  # Pillow applies the orientation itself
            picture = from_pil(image)
        color, alpha = picture.color, picture.alpha
    return replace(picture, color=color, alpha=alpha, metadata=page.metadata())


class _Unlimited(TiffImageFile):
    """Pillow's reader without its own limit: the size has been checked against the caller's."""

    def load_prepare(self) -> None:
        if self._im is None:  # else the limit is not asked
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()


@dataclass(frozen=True)
class _Page:
    """A directory of the file, asked for numbers."""

    layout: ifd.Layout
    directory: ifd.Directory

    def numbers(self, tag: int, *default: int) -> tuple[int, ...]:
        value = self.directory.get(tag)
        found = self.layout.numbers(value) if isinstance(value, ifd.Value) else ()
        if not found and not default:
            raise ImageError(f"the TIFF file is damaged: its tag {tag} is missing")
        return found or default

    def number(self, tag: int, *default: int) -> int:
        return self.numbers(tag, *default)[0]

    def places(self) -> list[tuple[int, int]]:
        """(offset, length) of every strip or tile."""
        tiled = tags.TILE_OFFSETS in self.directory
        offsets = self.numbers(tags.TILE_OFFSETS if tiled else tags.OFFSETS)
        counts = self.numbers(tags.TILE_COUNTS if tiled else tags.COUNTS)
        return list(zip(offsets, counts, strict=True))

    def is_deep(self) -> bool:
        bits = set(self.numbers(tags.BITS, 1))
        if bits - {1, 2, 4, 8, 16, 32}:
            raise ImageError(f"samples of {sorted(bits)} bits are not handled, expected 8 or 16")
        unsigned = set(self.numbers(tags.FORMAT, 1)) == {1}
        return bits == {16} and unsigned and self.number(tags.PHOTOMETRIC) in (0, 1, 2)

    def metadata(self) -> Metadata:
        """What the file carries; profile and resolution checked as every other file's are."""
        data = {
            tag: value.data for tag, value in self.directory.items() if isinstance(value, ifd.Value)
        }
        dpi = resolution.of_directory(self.layout, self.directory)
        if dpi and self.number(tags.ORIENTATION, 1) >= 5:
            dpi = dpi[::-1]
        return Metadata(fitting_profile(data.get(tags.ICC)), self._exif(), data.get(tags.XMP), dpi)

    def _exif(self) -> bytes | None:
        """What the directory says of the photograph, as an EXIF block; None if nothing."""
        kept = {tag: value for tag, value in self.directory.items() if tag in tags.DESCRIPTIVE}
        if not any(kept.values()):
            return None
        plain = replace(self.layout, big=False)
        kept[tags.ORIENTATION] = plain.value(ifd.SHORT, 1)
        return plain.header(8) + ifd.build(kept, plain, at=8)


def _decode_deep(file: BinaryIO, page: _Page) -> Picture:
    width, height = page.number(tags.WIDTH), page.number(tags.HEIGHT)
    samples, photometric = page.number(tags.SAMPLES, 1), page.number(tags.PHOTOMETRIC)
    channels = 3 if photometric == 2 else 1
    if samples not in (channels, channels + 1):
        raise ImageError(f"it has {samples} channels, expected {channels} and at most one of alpha")
    whole = np.empty((height, width, samples), np.uint16)
    planes = samples if page.number(tags.PLANAR, 1) == 2 else 1
    for plane in range(planes):
        _decode_plane(file, page, plane, whole[..., plane : plane + 1] if planes > 1 else whole)
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


def _divide(color: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> None:
    """Undo premultiplication in place, row by row."""
    for row, opacity in zip(color, alpha[..., None].astype(np.uint64), strict=True):
        full = (row.astype(np.uint64) * 65535 + opacity // 2) // np.maximum(opacity, 1)
        row[:] = np.minimum(full, 65535)


def _decode_plane(file: BinaryIO, page: _Page, plane: int, target: NDArray[np.uint16]) -> None:
    """Fill `target` (H, W, C) from the strips or tiles of one plane."""
    height, width, channels = target.shape
    tiled = tags.TILE_OFFSETS in page.directory
    if tiled:
        block_width, block_height = page.number(tags.TILE_WIDTH), page.number(tags.TILE_HEIGHT)
    else:
        block_width, block_height = width, min(page.number(tags.ROWS, height), height)
    blocks = math.ceil(width / block_width) * math.ceil(height / block_height)
    mine = page.places()[plane * blocks : (plane + 1) * blocks]
    if len(mine) != blocks:
        raise ImageError(f"the TIFF file is damaged: it has {len(mine)} parts out of {blocks}")
    size = 2 * channels  # bytes of a pixel
    shape = (width * size, height, block_width * size, block_height)
    twin = _twin(_blocks(file, mine), shape, page.number(tags.COMPRESSION, 1), tiled)
    stored = page.layout.order + "u2"
    difference = page.number(tags.PREDICTOR, 1) == 2
    with _Unlimited(twin) as image:
        image.load()
        for top, band in bands(image):
            rows = target[top : top + band.height]
            rows[:] = np.asarray(band).view(stored).reshape(rows.shape)
            for left in range(0, width, block_width) if difference else ():
                block = rows[:, left : left + block_width]
                np.add.accumulate(block, axis=1, dtype=np.uint16, out=block)


def _check_extent(file: BinaryIO, page: _Page) -> None:
    """libtiff shows what it finds of a truncated file, and reads parts that overlap many times."""
    size = file.seek(0, io.SEEK_END)
    places = page.places()
    if any(place + count > size for place, count in places) or sum(c for _, c in places) > size:
        raise ImageError("the TIFF file is truncated: its parts reach behind its end")


def _blocks(file: BinaryIO, places: list[tuple[int, int]]) -> list[bytes]:
    blocks = []
    for place, count in places:
        file.seek(place)
        blocks.append(file.read(count))
    return blocks


def _twin(
    blocks: list[bytes], shape: tuple[int, int, int, int], compression: int, tiled: bool
) -> BinaryIO:
    """A TIFF file of one 8-bit grey picture made of these compressed strips or tiles."""
    layout = ifd.Layout(big=True)
    width, height, block_width, block_height = shape
    numbers: dict[int, list[Any]] = {
        tags.WIDTH: [width],
        tags.HEIGHT: [height],
        tags.BITS: [8],
        tags.COMPRESSION: [compression],
        tags.PHOTOMETRIC: [1],
        tags.SAMPLES: [1],
        tags.TILE_COUNTS if tiled else tags.COUNTS: [len(block) for block in blocks],
    }
    if tiled:
        numbers |= {tags.TILE_WIDTH: [block_width], tags.TILE_HEIGHT: [block_height]}
    else:
        numbers[tags.ROWS] = [block_height]
    start = len(layout.header(0))
    offsets = np.cumsum([0, *(len(block) for block in blocks)])[:-1]
    behind = start
    for _ in range(2):  # where the blocks begin follows from how long the directory is
        numbers[tags.TILE_OFFSETS if tiled else tags.OFFSETS] = (offsets + behind).tolist()
        directory: ifd.Directory = {
            tag: layout.value(ifd.LONG8 if tag in tags.PLACES else ifd.LONG, *values)
            for tag, values in numbers.items()
        }
        head = layout.header(start) + ifd.build(directory, layout, start)
        behind = len(head)
    return io.BytesIO(head + b"".join(blocks))
