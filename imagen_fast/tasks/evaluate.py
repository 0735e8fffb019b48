"""How good a model is on a folder of pictures, by a protocol, beside what simple means make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError
from imagen_fast.image.degradation import Uint8
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.image.picture import eight_bits
from imagen_fast.image.read import read
from imagen_fast.tasks.protocols import Protocol, Quality
from imagen_fast.tasks.restore import RESTORE, Restorer

SSIM_WINDOW = 11
CROP = 96  # side of what a page of crops shows


@dataclass(frozen=True)
class Score:
    """One picture's quality; `model` is None if the baseline alone was asked for.

    crop: baseline, model and truth beside each other, where the baseline is worst.
    """

    name: str
    baseline: Quality
    model: Quality | None
    crop: Uint8 | None = None


def evaluate(
    paths: Sequence[Path],
    protocol: Protocol,
    engine: Engine | None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Iterator[Score]:
    """The score of each picture, in order. Alpha is left out, 16 bits are rounded to 8.

    Raises:
        ImageError: a picture cannot be read, or is too small to be measured at this scale.
    """
    scale = protocol.scale
    for number, path in enumerate(paths):
        color = eight_bits(read(path, max_pixels=max_pixels).color)
        height, width = color.shape[:2]
        smallest = SSIM_WINDOW + 3 * scale
        if min(height, width) < smallest:
            raise ImageError(
                f"{path}: {width} × {height} is too small to be measured at x{scale}; "
                f"expected {smallest} pixels to each side or more"
            )
        case = protocol.case(color, number)
        baseline = protocol.quality(case.simple, case)
        if engine is None:
            yield Score(path.name, baseline, None)
            continue
        through = Restorer(engine, mask=case.mask) if protocol.task is RESTORE else engine
        found = through(case.given)
        shown = crop([case.simple, found, case.truth])
        yield Score(path.name, baseline, protocol.quality(found, case), shown)


def mean(qualities: Sequence[Quality]) -> Quality:
    """The mean of the PSNR values (in dB) and of the SSIM values."""
    return Quality(
        float(np.mean([quality.psnr for quality in qualities])),
        float(np.mean([quality.ssim for quality in qualities])),
    )


def page_of(crops: Sequence[Uint8]) -> Uint8:
    """Crops below each other, twice as large: (H, W, 3)."""
    width = max(crop.shape[1] for crop in crops)
    rows = [np.pad(crop, ((0, 2), (0, width - crop.shape[1]), (0, 0))) for crop in crops]
    return np.concatenate(rows).repeat(2, 0).repeat(2, 1)


def crop(pictures: Sequence[Uint8]) -> Uint8:
    """Of each picture, beside each other, the square where the first differs most from the last."""
    off = np.abs(pictures[0].astype(np.int16) - pictures[-1]).sum(2)
    tops, lefts = (range(0, max(1, side - CROP + 1), CROP // 2) for side in off.shape)
    y, x = max(
        ((y, x) for y in tops for x in lefts),
        key=lambda corner: off[corner[0] : corner[0] + CROP, corner[1] : corner[1] + CROP].sum(),
    )
    cut = [picture[y : y + CROP, x : x + CROP] for picture in pictures]
    joined = np.concatenate([np.pad(c, ((0, 0), (0, 2), (0, 0))) for c in cut], axis=1)
    return np.repeat(joined, 3, axis=2) if joined.shape[2] == 1 else joined
