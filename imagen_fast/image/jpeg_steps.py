"""The steps to which a JPEG rounded a picture, found again in its pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.image.yuv import lightness
from imagen_fast.samples import Samples, full

SIDE = 1024  # pixels in the middle of a picture that tell, so that large ones take no longer
BLOCK = 8
USUAL = (  # annex K of ITU-T T.81, of lightness: what most encoders scale by a quality
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_QUALITIES = range(2, 98)  # beyond them all is black or white, or steps are as small as rounding
_FEW = 100  # coefficients: of fewer anything could be the steps
_LOOKED_AT = 128  # blocks
# How well coefficients agree with steps: 1 where all are multiples, 0 for any numbers. Photographs
# that were no JPEG come to 0.1 at most, JPEGs down to 0.5 at quality 90 and 0.2 at 95.
_AGREES = 0.2
_SURELY = 0.5  # and other places where blocks may begin need not be tried


@dataclass(frozen=True)
class Steps:
    """Of lightness, of samples from 0 to 255, in an orthonormal transform.

    Attributes:
        table: (8, 8) float32 by vertical and horizontal frequency.
        top, left: where the first whole block begins, 0 to 7.
    """

    table: Samples
    top: int
    left: int


def find_steps(color: Samples, told: Sequence[int] | None = None) -> Steps | None:
    """By what the last JPEG rounded a picture (H, W, C), uint8 or uint16; None if none shows.

    The cosine coefficients of its blocks are whole multiples of them, whatever file the picture
    has been saved as since, unless it was resized or changed by much (Fan and de Queiroz 2003,
    doi:10.1109/TIP.2002.807361). They are sought among the usual tables and the one that is told.

    Args:
        told: 64 steps by row, of the picture's own file, which may have been turned since.
    """
    tables = list(_USUAL_TABLES)
    if told:
        own = np.maximum(np.array(told, np.float32), 1).reshape(BLOCK, BLOCK)
        tables += [own, own.T]
    middle = tuple(slice((n - min(n, SIDE)) // 2 // BLOCK * BLOCK, None) for n in color.shape[:2])
    part = color[middle][:SIDE, :SIDE]
    luma = lightness(part.astype(np.float32) * np.float32(255 / full(color.dtype)))
    best, found = _AGREES, None
    for top, left in _starts(luma, color.shape if told else (0, 0)):
        agreement = _agreement(luma[top:, left:], tables)
        if max(agreement) > best:
            best = max(agreement)
            found = Steps(tables[agreement.index(best)], top, left)
        if best > _SURELY:
            break
    return found


def usual_table(quality: int) -> Samples:
    """(8, 8) float32: the steps of lightness by most encoders for a quality from 1 to 100."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table: Samples = ((np.array(USUAL) * percent + 50) // 100).clip(1, 255).astype(np.float32)
    return table


def first_block(luma: Samples) -> tuple[int, int]:
    """Where blocks of (H, W) seem to begin: steps to that row and column are larger than others."""
    return _first(luma.T), _first(luma)


def blocks(samples: NDArray[Any]) -> NDArray[Any]:
    """(H, W, …) → (rows, columns, 8, 8, …): the whole 8×8 blocks."""
    h, w = (side // BLOCK for side in samples.shape[:2])
    cut = samples[: h * BLOCK, : w * BLOCK].reshape(h, BLOCK, w, BLOCK, *samples.shape[2:])
    return np.swapaxes(cut, 1, 2)


def _agreement(luma: Samples, tables: Sequence[Samples]) -> list[float]:
    """How well the low coefficients of blocks agree with each table's steps."""
    found: Samples = blocks(luma).reshape(-1, BLOCK, BLOCK)
    detailed = np.ptp(found, axis=(1, 2)).argsort(kind="stable")[-_LOOKED_AT:]
    sizes = np.abs(COSINES @ found[detailed] @ COSINES.T)[:, LOW]

    def agreement(table: Samples) -> float:
        multiples = sizes / table[LOW]
        # What was rounded to 0 agrees with all that is larger; half a step disagrees.
        tells = multiples[multiples > 0.4]
        return float(np.cos(2 * np.pi * tells).mean()) if len(tells) >= _FEW else -1.0

    return [agreement(table) for table in tables]


def _starts(luma: Samples, turned: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Where blocks may begin: as in files, or turned ones of this shape, or as it seems."""
    if min(luma.shape) < 4 * BLOCK:
        return
    height, width = turned[:2]
    corners = product((0, height % BLOCK), (0, width % BLOCK))
    yield from dict.fromkeys((*corners, first_block(luma)))


def _first(samples: Samples) -> int:
    step = np.abs(np.diff(samples, axis=1))
    beyond = step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2
    columns = beyond.clip(-BLOCK, BLOCK).mean(0)  # an edge of the picture's own counts little
    phases = [columns[first::BLOCK].mean() for first in range(BLOCK)]
    return (int(np.argmax(phases)) + 2) % BLOCK


def _cosines() -> Samples:
    place = np.arange(BLOCK)
    waves = np.cos(np.pi * (2 * place + 1) * place[:, None] / (2 * BLOCK)) / 2
    waves[0] /= np.sqrt(2)
    rows: Samples = waves.astype(np.float32)
    return rows


COSINES = _cosines()  # the orthonormal cosine transform of 8 samples, by row the frequency
_both = np.add.outer(np.arange(BLOCK), np.arange(BLOCK))
_USUAL_TABLES = [usual_table(quality) for quality in _QUALITIES]
LOW = (_both > 0) & (_both <= 5)  # frequencies where most coefficients are not 0
