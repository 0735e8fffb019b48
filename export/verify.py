"""Is what an export gives what the reference gives? Measured on a photograph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import ExportError
from imagen_fast.metrics import psnr
from imagen_fast.spec import ModelSpec

from . import photograph
from .options import Options

# (N, H, W, C) uint8 or float32 in [0, 1] → (N, s·H, s·W, C), same dtype, clamped; or, of a listing,
# rows (N, T, d_model) float32 → same.
Run = Callable[[NDArray[Any]], NDArray[Any]]
# PSNR in dB, below which something else was computed.
WORST = {"fp32": 80.0, "fp16": 50.0, "bf16": 50.0}
# Where sizes are open: whole windows, then sides that end within one at every level, and two
# pictures. A picture of the user's is cut to at most this.
LARGEST = 256
ODD = (2, 37, 53)
ROWS = (2, 75)


@dataclass(frozen=True)
class Verification:
    """How accurate an export is.

    Attributes:
        picture: what it was measured on.
        reference: whose answer it was compared with, and by which runtime it was run.
        runtime: what ran the export.
        psnr: in dB by input shape; None where not a bit differs.
    """

    picture: str
    reference: str
    runtime: str
    psnr: dict[str, float | None]

    @property
    def worst(self) -> float:
        """The lowest PSNR, infinite if not a bit differs."""
        return min(math.inf if value is None else value for value in self.psnr.values())


def verify(
    spec: ModelSpec,
    options: Options,
    *,
    run: tuple[Run, str],
    reference: tuple[Run, str],
    picture: Path | None = None,
    shapes: Sequence[tuple[int, int, int]] | None = None,
) -> Verification:
    """Compare the export's `run` with the `reference`, each with what it is called.

    shapes: (N, H, W) of the pictures, in place of those that the options ask for.

    Raises:
        ExportError: they differ by more than the precision's rounding.
        ImageError: the picture cannot be read.
    """
    if spec.architecture == "listing":
        title = "random rows, since a listing reads no pictures"
        inputs = [_rows(spec, options)]
    else:
        title = photograph.OWN_TITLE if picture is None else str(picture)
        inputs = _pictures(spec, options, photograph.load(picture), shapes)
    found: dict[str, float | None] = {}
    for x in inputs:
        shape = "x".join(map(str, x.shape))
        value = psnr(run[0](x), reference[0](x))
        if not value >= WORST[options.precision]:
            seen = f"{value:.1f} dB" if math.isfinite(value) else "not finite"
            raise ExportError(
                f"the export is wrong: {seen} to {reference[1]} on {title}, input {shape}; "
                f"expected {WORST[options.precision]:.0f} dB or more in {options.precision}. "
                "Nothing was written"
            )
        found[shape] = round(value, 2) if math.isfinite(value) else None
    return Verification(title, reference[1], run[1], found)


def _pictures(
    spec: ModelSpec,
    options: Options,
    photo: NDArray[np.uint8],
    asked: Sequence[tuple[int, int, int]] | None,
) -> list[NDArray[Any]]:
    if asked:
        shapes = list(asked)
    elif options.shape:
        shapes = [(options.batch or 1, *options.shape)]
        shapes += [(2, *options.shape)] if options.batch is None else []
    else:
        h, w = (min(side, LARGEST) for side in photo.shape[:2])
        shapes = [(options.batch or 1, h, w), (options.batch or ODD[0], *ODD[1:])]
    made = [photograph.shaped(photo, *shape, spec.image_channels) for shape in shapes]
    if options.io == "uint8":
        return list(made)
    return [x.astype(np.float32) / np.float32(255) for x in made]


def _rows(spec: ModelSpec, options: Options) -> NDArray[Any]:
    shape = (options.batch or ROWS[0], ROWS[1], spec.levels[0].channels)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
