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
from numpy.typing import NDArray

from imagen_fast import metrics
from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError
from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.image.read import read
from imagen_fast.image.resample import resize

Uint8 = NDArray[np.uint8]
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
        high = _truth(path, scale)
        height, width = high.shape[:2]
        low = _rounded(resize(high, height // scale, width // scale))
        bicubic = _compare(_rounded(resize(low, height, width)), high, scale)
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


def _truth(path: Path, scale: int) -> Uint8:
    color = eight_bits(read(path).color)
    height, width = (size - size % scale for size in color.shape[:2])
    if min(height, width) < SSIM_WINDOW + 2 * scale:
        raise ImageError(
            f"{path}: {color.shape[1]} × {color.shape[0]} is too small to be measured at "
            f"x{scale}; expected {SSIM_WINDOW + 3 * scale} pixels to each side or more"
        )
    return color[:height, :width]


def _compare(a: Uint8, b: Uint8, border: int) -> Quality:
    # The metrics take grey pictures without a channel axis.
    a, b = (x[..., 0] if x.shape[2] == 1 else x for x in (a, b))
    return Quality(metrics.psnr(a, b, border), metrics.ssim(a, b, border))


def _rounded(samples: NDArray[np.float32]) -> Uint8:
    return np.clip(np.rint(samples), 0, 255).astype(np.uint8)
