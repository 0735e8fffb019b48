"""How well a model enlarges a folder of pictures, measured as papers do, beside bicubic.

Each picture is cropped at the right and bottom to a multiple of the scale, shrunk by
antialiased bicubic, rounded to 8 bits and enlarged again. PSNR and SSIM compare that with the
crop, on Y, leaving out a border as wide as the scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagen_fast import metrics
from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError
from imagen_fast.image.degradation import Uint8, degrade, rounded
from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.image.read import read
from imagen_fast.image.resample import resize

SSIM_WINDOW = 11


@dataclass(frozen=True)
class Quality:
    """PSNR in dB and SSIM."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Score:
    """One picture's quality; `model` is None if bicubic alone was asked for."""

    name: str
    bicubic: Quality
    model: Quality | None


def evaluate(paths: Sequence[Path], scale: int, engine: Engine | None) -> Iterator[Score]:
    """The score of each picture, in order. Alpha is left out, 16 bits are rounded to 8.

    Raises:
        ImageError: a picture cannot be read, or is too small to be measured at this scale.
    """
    for path in paths:
        color = eight_bits(read(path).color)
        height, width = color.shape[:2]
        smallest = SSIM_WINDOW + 3 * scale
        if min(height, width) < smallest:
            raise ImageError(
                f"{path}: {width} × {height} is too small to be measured at x{scale}; "
                f"expected {smallest} pixels to each side or more"
            )
        low, high = degrade(color, scale)
        bicubic = _compare(rounded(resize(low, *high.shape[:2])), high, scale)
        model = None
        if engine is not None:
            model = _compare(engine(Picture(low)).color, high, scale)
        yield Score(path.name, bicubic, model)


def mean(qualities: Sequence[Quality]) -> Quality:
    """The mean of the PSNR values (in dB) and of the SSIM values."""
    return Quality(
        float(np.mean([quality.psnr for quality in qualities])),
        float(np.mean([quality.ssim for quality in qualities])),
    )


def _compare(a: Uint8, b: Uint8, border: int) -> Quality:
    # The metrics take grey pictures without a channel axis.
    a, b = (x[..., 0] if x.shape[2] == 1 else x for x in (a, b))
    return Quality(metrics.luma_psnr(a, b, border), metrics.ssim(a, b, border))
