"""PNG: 8 bits and fewer through Pillow, 16 bits here, because Pillow keeps 8 of them.

PNG (Third Edition), W3C: section 5 chunks, section 8 interlacing, section 9 filtering.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from imagen_fast.errors import ImageError
from imagen_fast.image import png_color
from imagen_fast.image.limits import check_frames, check_size
from imagen_fast.image.orientation import upright_picture
from imagen_fast.image.picture import Picture, Samples
from imagen_fast.image.pillow import from_pil, metadata, with_key
from imagen_fast.image.png_write import SIGNATURE, chunk

_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of a colour type, alpha included; 3 is palette
_KEPT = {b"acTL", b"eXIf", b"iCCP", b"iTXt", b"pHYs", b"tEXt", b"tRNS", b"zTXt"}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip  # first column and row, step of columns and rows
_BAND = 256  # rows decoded at a time
_FEED = 1 << 16  # compressed bytes handed to zlib at a time


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open PNG file → Picture, upright, uint16 if the file has 16 bits, else uint8."""
    header = file.read(33)
    if len(header) < 33 or header[12:16] != b"IHDR":
        raise ImageError("the PNG file is damaged: it does not start with its header")
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header[16:29])
    check_size(width, height, max_pixels)
    if depth == 16 and kind in _CHANNELS:
        picture = _decode_deep(file, width, height, kind, bool(interlaced))
    else:
        picture = _decode_shallow(file, depth, kind)
    return replace(picture, metadata=replace(picture.metadata, png=png_color.parse(file)))


def _decode_shallow(file: BinaryIO, depth: int, kind: int) -> Picture:
    file.seek(0)
    with PngImageFile(file) as image:
        check_frames(image.n_frames, "frames")
        image.load()
        key = image.info.get("transparency")
        if kind == 0 and depth in (2, 4) and isinstance(key, int):
            image.info["transparency"] = key * 255 // (2**depth - 1)  # scaled as the samples are
        return from_pil(image)


def _decode_deep(file: BinaryIO, width: int, height: int, kind: int, interlaced: bool) -> Picture:
    chunks = list(_chunks(file))
    with PngImageFile(_twin(file, kind, chunks)) as twin:
        check_frames(twin.n_frames, "frames")
        twin.load()
        samples: Samples = np.empty((height, width, _CHANNELS[kind]), np.uint16)
        pixels = _Inflated(_data(file, chunks))
        for x, y, dx, dy in _ADAM7 if interlaced else ((0, 0, 1, 1),):
            _decode_pass(pixels, samples[y::dy, x::dx])
        if kind in (0, 2):
            samples = with_key(samples, twin.info.get("transparency"))
        channels = 1 if kind in (0, 4) else 3
        alpha = samples[..., channels] if samples.shape[2] > channels else None
        picture = Picture(
            np.ascontiguousarray(samples[..., :channels]),
            None if alpha is None else np.ascontiguousarray(alpha),
            metadata(twin),
        )
        return upright_picture(picture)


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(name, position, length) of the chunks that matter, from behind the header to the end."""
    size = file.seek(0, os.SEEK_END)
    position = 33
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            raise ImageError("the PNG file is truncated: it ends before its end mark")
        length, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            return
        if position + 12 + length > size:
            raise ImageError(f"the PNG file is truncated inside its {name!r} chunk")
        if name in _KEPT or name == b"IDAT":
            yield name, position + 8, length
        position += 12 + length


def _twin(file: BinaryIO, kind: int, chunks: list[tuple[bytes, int, int]]) -> BinaryIO:
    """A PNG of one 8-bit pixel with the same metadata, for Pillow to parse with its limits."""
    twin = io.BytesIO()
    twin.write(SIGNATURE)
    twin.write(chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, kind, 0, 0, 0)))
    for name, position, length in chunks:
        if name != b"IDAT":
            file.seek(position - 8)
            twin.write(file.read(length + 12))
    twin.write(chunk(b"IDAT", zlib.compress(bytes(1 + _CHANNELS[kind]))))
    twin.write(chunk(b"IEND", b""))
    twin.seek(0)
    return twin


def _data(file: BinaryIO, chunks: list[tuple[bytes, int, int]]) -> Iterator[bytes]:
    for name, position, length in chunks:
        if name == b"IDAT":
            file.seek(position)
            for left in range(length, 0, -_FEED):
                yield file.read(min(left, _FEED))


class _Inflated:
    """The decompressed stream, never more of it in memory than was asked for."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._inflate = zlib.decompressobj()
        self._waiting = b""

    def read(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._inflate.decompress(self._waiting, count)
            self._waiting = self._inflate.unconsumed_tail
            count -= len(part)
            parts.append(part)
            if not part and not self._waiting:
                self._waiting = b"" if self._inflate.eof else next(self._source, b"")
                if not self._waiting:
                    raise ImageError("the PNG file is truncated: it has too few pixels")
        return b"".join(parts)


def _decode_pass(pixels: _Inflated, target: NDArray[np.uint16]) -> None:
    """Fill `target` (H, W, C), a view of the picture, with the next H·W pixels."""
    height, width, channels = target.shape
    if 0 in target.shape:
        return
    unit = 2 * channels  # bytes of a pixel
    # A row above and a column to the left, both 0, stand for what lies outside the picture.
    grid = np.zeros((min(_BAND, height) + 1, width + 1, unit), np.uint8)
    for top in range(0, height, _BAND):
        rows = min(_BAND, height - top)
        stored = np.frombuffer(pixels.read(rows * (1 + width * unit)), np.uint8)
        stored = stored.reshape(rows, 1 + width * unit)
        grid[1 : rows + 1, 1:] = stored[:, 1:].reshape(rows, width, unit)
        _unfilter(stored[:, 0], grid[: rows + 1])
        target[top : top + rows] = grid[1 : rows + 1, 1:].view(">u2")
        grid[0] = grid[rows]


def _unfilter(kinds: NDArray[np.uint8], grid: NDArray[np.uint8]) -> None:
    """Add to each byte its prediction, in place. grid (1 + H, 1 + W, bytes of a pixel)."""
    if kinds.max() > 4:
        raise ImageError(
            f"the PNG file is damaged: it names filter {kinds.max()}, there are 0 to 4"
        )
    if kinds.max() > 2:
        _unfilter_diagonally(kinds, grid)
        return
    for row, kind in enumerate(kinds, start=1):
        if kind == 1:
            grid[row] = np.add.accumulate(grid[row], axis=0, dtype=np.uint8)
        elif kind == 2:
            grid[row] += grid[row - 1]


def _unfilter_diagonally(kinds: NDArray[np.uint8], grid: NDArray[np.uint8]) -> None:
    """A pixel needs its left, upper and upper left neighbours, so those with one x + y are free
    of each other and go together: H + W steps, in which rows of any filter mix.
    """
    height, width = grid.shape[0] - 1, grid.shape[1] - 1
    flat = grid.reshape(-1, grid.shape[2])

    def diagonal(start: int, count: int) -> NDArray[Any]:
        # Down one row and left one column is `width` on, as a row has width + 1 pixels.
        return flat[start : start + (count - 1) * width + 1 : width]

    for step in range(2, height + width + 1):  # x + y, both from 1
        first, last = max(1, step - width), min(height, step - 1)
        start, count = step + first * width, last - first + 1
        left = diagonal(start - 1, count).astype(np.int16)
        up = diagonal(start - width - 1, count).astype(np.int16)
        corner = diagonal(start - width - 2, count).astype(np.int16)
        predicted = np.choose(
            kinds[first - 1 : last, None],
            (np.int16(0), left, up, (left + up) >> 1, _paeth(left, up, corner)),
        )
        here = diagonal(start, count)
        here += predicted.astype(np.uint8)


def _paeth(
    left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Whichever neighbour is nearest to left + up - corner."""
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    nearer = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, nearer)
