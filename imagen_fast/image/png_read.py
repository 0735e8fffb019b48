"""PNG: 8 bits and fewer through Pillow, 16 bits here, because Pillow keeps 8 of them.

PNG (Third Edition), W3C: section 5 chunks, section 8 interlacing, section 9 filtering.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from imagen_fast.errors import ImageError
from imagen_fast.image import carry, png_metadata
from imagen_fast.image.limits import check_frames, check_size
from imagen_fast.image.orientation import upright_picture
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil, with_key
from imagen_fast.image.png_chunks import SIGNATURE, Chunk, chunk, pieces, walk
from imagen_fast.image.png_filters import unfilter
from imagen_fast.samples import Samples

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a colour type, alpha included; 3 is palette
_PALETTE = 3
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip  # first column and row, step of columns and rows
_BAND = 256  # rows decoded at a time
_ZLIB_HEADER = 2  # bytes before the compressed data itself


class _Header(NamedTuple):
    width: int
    height: int
    depth: int
    kind: int
    compression: int
    filters: int
    interlaced: int

    @property
    def passes(self) -> tuple[tuple[int, int, int, int], ...]:
        """First column and row, step of columns and rows, of each part that is stored apart."""
        return _ADAM7 if self.interlaced else ((0, 0, 1, 1),)

    @property
    def stored(self) -> int:
        """Bytes of all rows, each behind the number of its filter."""
        bits, total = self.depth * _CHANNELS.get(self.kind, 0), 0
        for x, y, dx, dy in self.passes:
            columns, rows = -(-(self.width - x) // dx), -(-(self.height - y) // dy)
            total += rows * (1 + (columns * bits + 7) // 8) if min(columns, rows) > 0 else 0
        return total


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open PNG file → Picture, upright, uint16 if the file has 16 bits, else uint8.

    Only the header, a palette and the picture's data decide whether it can be read, not what comes
    between them or should come behind them.
    """
    start = file.read(33)
    if len(start) < 33 or chunk(b"IHDR", start[16:29]) != start[8:]:
        raise ImageError("the PNG file is damaged: it does not start with its header")
    header = _Header(*struct.unpack(">IIBBBBB", start[16:29]))
    check_size(header.width, header.height, max_pixels)
    chunks = list(walk(file))
    told = png_metadata.parse(file, header.kind, chunks)
    check_frames(told.frames, "frames")
    if header.depth == 16 and header.kind in _CHANNELS:
        picture = _decode_deep(file, header, chunks, told.key)
    else:
        picture = _decode_shallow(file, header, chunks, told.key)
    metadata = carry.believed(told.metadata(), picture.color.shape[2])
    return upright_picture(replace(picture, metadata=metadata))


def _decode_shallow(
    file: BinaryIO, header: _Header, chunks: list[Chunk], key: bytes | None
) -> Picture:
    """The picture by Pillow, out of a file of nothing but what belongs to the pixels."""
    data = [part for part in chunks if part.name == b"IDAT"]
    palette = [part for part in chunks if part.name == b"PLTE" and header.kind == _PALETTE]
    if not all(part.valid for part in palette):
        raise ImageError("the PNG file is damaged: its palette is wrong")
    parts = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", *header)), *_copies(file, palette)]
    if key:
        parts.append(chunk(b"tRNS", key))
    try:
        return _by_pillow([*parts, *_copies(file, data)], header)
    except (OSError, SyntaxError):  # what follows the last pixel may be all that is wrong
        whole = zlib.compress(_Inflated(file, data).read(header.stored), 1)
        return _by_pillow([*parts, chunk(b"IDAT", whole)], header)


def _copies(file: BinaryIO, chunks: list[Chunk]) -> Iterator[bytes]:
    """The chunks with a right checksum."""
    for part in chunks:
        yield chunk(part.name, *pieces(file, part.position, part.length))


def _by_pillow(parts: list[bytes], header: _Header) -> Picture:
    with PngImageFile(io.BytesIO(b"".join([*parts, chunk(b"IEND")]))) as image:
        image.load()
        key = image.info.get("transparency")
        if header.kind == 0 and header.depth in (2, 4) and isinstance(key, int):
            # Scaled as the samples are.
            image.info["transparency"] = key * 255 // (2**header.depth - 1)
        return from_pil(image)


def _decode_deep(
    file: BinaryIO, header: _Header, chunks: list[Chunk], key: bytes | None
) -> Picture:
    """The picture of 16 bits; of its colours one is transparent if there is a `key`."""
    samples: Samples = np.empty((header.height, header.width, _CHANNELS[header.kind]), np.uint16)
    pixels = _Inflated(file, [part for part in chunks if part.name == b"IDAT"])
    for x, y, dx, dy in header.passes:
        _decode_pass(pixels, samples[y::dy, x::dx])
    if key and samples.shape[2] in (1, 3):
        samples = with_key(samples, struct.unpack_from(f">{samples.shape[2]}H", key))
    channels = samples.shape[2] - 1 + samples.shape[2] % 2
    alpha = samples[..., channels] if samples.shape[2] > channels else None
    return Picture(
        np.ascontiguousarray(samples[..., :channels]),
        None if alpha is None else np.ascontiguousarray(alpha),
    )


class _Inflated:
    """The decompressed stream of some IDAT chunks, never more of it in memory than was asked for.

    The chunks' checksums vouch for it or, where one of them is wrong, the stream's own.
    """

    def __init__(self, file: BinaryIO, chunks: list[Chunk]) -> None:
        self._source = (piece for c in chunks for piece in pieces(file, c.position, c.length))
        if any(part.valid is False for part in chunks):
            self._inflate, self._skip = zlib.decompressobj(), 0
        else:
            self._inflate, self._skip = zlib.decompressobj(-zlib.MAX_WBITS), _ZLIB_HEADER
        self._waiting = b""

    def read(self, count: int) -> bytes:
        """The next `count` bytes. Raises ImageError if there are fewer, zlib.error if damaged."""
        parts = []
        while count and not self._inflate.eof:
            part = self._inflate.decompress(self._waiting, count)
            self._waiting = self._inflate.unconsumed_tail
            count -= len(part)
            parts.append(part)
            if not (part or self._waiting):
                self._waiting = self._next()
                if not self._waiting:
                    break
        if count:
            raise ImageError("the PNG file is truncated: it has too few pixels")
        return b"".join(parts)

    def _next(self) -> bytes:
        for piece in self._source:
            rest = piece[self._skip :]
            self._skip -= len(piece) - len(rest)
            if rest:
                return rest
        return b""


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
        unfilter(stored[:, 0], grid[: rows + 1])
        target[top : top + rows] = grid[1 : rows + 1, 1:].view(">u2")
        grid[0] = grid[rows]
