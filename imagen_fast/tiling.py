"""Pictures in tiles: how one is cut, and how the tiles' outputs become one picture again.

Along each axis tiles start at equal steps and read `overlap` pixels beyond what they answer
for, on every side where the picture goes on. There they share twice that with their neighbour;
in the middle lies the seam, and across it one tile's output fades into the other's:

    tile k     ├────────────────────────────╲──────────┤
    tile k+1                     ├───────────╲─────────────────────────────┤
                                 ├─ overlap ──┼─ overlap ┤
                                             seam

Steps and sizes are multiples of the model's `alignment`, so a tile sees the windows that the
whole picture sees; tiles are clipped at the picture's border, never padded, so that the model
treats this border as it would in the whole picture. Hence with `exact_overlap` nothing that is
seen of a tile's output depends on what the tile does not read: tiled equals whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from imagen_fast.errors import TilingError
from imagen_fast.graph.reach import RAMP
from imagen_fast.samples import Samples

# Rows of the output in a strip.
STRIP = 64


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in input pixels.

    It reads [start, stop) and answers for [low, high). Its first `ramp` pixels from `low` on
    fade in over the last `ramp` pixels of the tile before; at the picture's border, 0.
    """

    start: int
    stop: int
    low: int
    high: int
    ramp: int


@dataclass(frozen=True)
class Tiling:
    """The tiles of a picture: every row span with every column span."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]


def cut(height: int, width: int, tile: int, overlap: int, alignment: int) -> Tiling:
    """Cut a picture into tiles of at most tile × tile input pixels, overlap included.

    A picture that is no larger is one tile. Otherwise tiles shrink, all of a row alike, and
    overlaps grow to what the alignment allows.

    Raises:
        TilingError: a size is negative, or the tile has no room for its overlaps.
    """
    if overlap < 0:
        raise TilingError(f"tile overlap is {overlap}; expected 0 or more pixels")
    if tile < 1:
        raise TilingError(f"tile is {tile}; expected a positive number of pixels")
    shared = -(-2 * overlap // alignment) * alignment
    if tile < max(height, width) and tile < shared + alignment:
        raise TilingError(_too_small(tile, overlap, alignment, shared + alignment))
    ramp = min(RAMP, shared)
    return Tiling(
        tuple(_spans(height, tile, shared, ramp, alignment)),
        tuple(_spans(width, tile, shared, ramp, alignment)),
    )


def _too_small(tile: int, overlap: int, alignment: int, least: int) -> str:
    most = largest_overlap(tile, alignment)
    if most < 0:
        beside = f" with an overlap of {overlap}" if overlap else ""
        return (
            f"a tile of {tile} pixels is too small for this model; expected at least {least} "
            f"pixels{beside}"
        )
    return (
        f"a tile of {tile} pixels has no room for an overlap of {overlap} on both sides; expected "
        f"a tile of at least {least} pixels, or an overlap of at most {most}"
    )


def _spans(length: int, tile: int, shared: int, ramp: int, alignment: int) -> Iterator[Span]:
    start = low = fade = 0
    if length > tile:
        tile = tile // alignment * alignment
        # As many as it takes, and all as long as the alignment allows.
        count = -(-(length - shared) // (tile - shared))
        tile = -(-(length + (count - 1) * shared) // (count * alignment)) * alignment
    while start + tile < length:
        high = start + tile - shared // 2 + ramp // 2
        yield Span(start, start + tile, low, high, fade)
        start, low, fade = start + tile - shared, high - ramp, ramp
    yield Span(start, length, low, length, fade)


def largest_overlap(tile: int, alignment: int) -> int:
    """The most overlap for which a tile of this size has room. Negative if it has for none."""
    return (tile // alignment - 1) * alignment // 2


def stream(
    picture: Samples,
    tiling: Tiling,
    scale: int,
    run: Callable[[Samples], Samples],
    batch: int = 1,
) -> Iterator[Samples]:
    """The output's rows from top to bottom, in strips, as soon as they are final.

    Memory depends on the tile's height and the picture's width only.

    Args:
        picture: (H, W, C), uint8, uint16 or float.
        run: (N, h, w, C) → (N, scale·h, scale·w, C) of the same dtype.
        batch: the most tiles in one call of `run`; only equal ones go together.

    Yields:
        (rows, scale·W, C) of the picture's dtype; all rows together are scale·H.
    """
    if len(tiling.rows) == len(tiling.columns) == 1:
        yield run(picture[None])[0]
        return
    # One band is filled again and again, and strips are copies: whoever still holds the last one
    # holds little.
    _, width, channels = picture.shape
    ramps_below = [span.ramp for span in tiling.rows[1:]] + [0]
    carry: Samples | None = None
    most = max(scale * (row.high - row.low) for row in tiling.rows)
    whole = np.empty((most, scale * width, channels), picture.dtype)
    for row, ramp_below in zip(tiling.rows, ramps_below, strict=True):
        rows = scale * (row.high - row.low)
        band = whole[:rows]
        for columns in _batches(tiling.columns, batch):
            tiles = np.stack([picture[row.start : row.stop, c.start : c.stop] for c in columns])
            _place(run(tiles), band, row, columns, scale)
        if carry is not None:
            band[: len(carry)] = _mix(carry, band[: len(carry)], axis=0)
        final = rows - scale * ramp_below
        for first in range(0, final, STRIP):
            yield band[first : min(first + STRIP, final)].copy()
        carry = band[final:].copy()


def _place(outputs: Samples, band: Samples, row: Span, columns: list[Span], scale: int) -> None:
    """Tiles of a row into its band; a function, so that none is held while the next is computed."""
    for column, output in zip(columns, outputs, strict=True):
        answer = output[_inner(row, scale), _inner(column, scale)]
        target = band[:, scale * column.low : scale * column.high]
        fade = scale * column.ramp
        target[:, :fade] = _mix(target[:, :fade], answer[:, :fade], axis=1)
        target[:, fade:] = answer[:, fade:]


def _mix(old: Samples, new: Samples, axis: int) -> Samples:
    """Linearly from `old` to `new` along an axis; where they are equal, exactly that value."""
    shape = [1, 1, 1]
    shape[axis] = count = old.shape[axis]
    weight = ((np.arange(count, dtype=np.float32) + 0.5) / max(count, 1)).reshape(shape)
    mixed: Samples = old + (new.astype(np.float32) - old) * weight
    return np.rint(mixed) if old.dtype.kind == "u" else mixed


def _inner(span: Span, scale: int) -> slice:
    """What a span answers for, within its tile's output."""
    return slice(scale * (span.low - span.start), scale * (span.high - span.start))


def _batches(columns: tuple[Span, ...], batch: int) -> Iterator[list[Span]]:
    for _, group in groupby(columns, key=lambda span: span.stop - span.start):
        equal = list(group)
        for first in range(0, len(equal), batch):
            yield equal[first : first + batch]
