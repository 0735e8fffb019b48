"""Is what an export gives what the reference gives? Measured on a photograph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import ExportError
from imagen_fast.graph import Graph
from imagen_fast.metrics import psnr

from . import photograph
from .options import ExportOptions

# (N, H, W, C) by name: pictures uint8 or float32 in [0, 1], anything else float32.
Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]  # inputs → outputs, pictures clamped
# PSNR in dB, below which something else was computed.
WORST = {"fp32": 80.0, "fp16": 50.0, "bf16": 50.0}
# Where sizes are open: whole windows, then sides that end within one at every level, and two
# pictures. A picture of the user's is cut to at most this.
LARGEST = 256
ODD = (2, 37, 53)


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
    graph: Graph,
    options: ExportOptions,
    *,
    run: tuple[Run, str],
    reference: tuple[Run, str],
    picture: Path | None = None,
    shapes: Sequence[tuple[int, int, int]] | None = None,
) -> Verification:
    """Compare the export's `run` with the `reference`, each with what it is called.

    graph: what was exported, none of whose inputs is optional.
    shapes: (N, H, W) of inputs, in place of those that the options ask for.

    Raises:
        ExportError: they differ by more than the precision's rounding.
        ImageError: the picture cannot be read.
    """
    pictures = any(x.picture for x in graph.inputs.values())
    title = photograph.OWN_TITLE if picture is None else str(picture)
    title = title if pictures else "random numbers, since the model reads no pictures"
    photo = photograph.load(picture)
    found: dict[str, float | None] = {}
    for shape in shapes or _shapes(options, photo):
        given = _inputs(graph, options, photo, shape)
        text = "x".join(map(str, next(iter(given.values())).shape))
        outputs, truth = run[0](given), reference[0](given)
        value = min(psnr(outputs[name], truth[name]) for name in graph.outputs)
        if not value >= WORST[options.precision]:
            seen = f"{value:.1f} dB" if math.isfinite(value) else "not finite"
            raise ExportError(
                f"the export is wrong: {seen} to {reference[1]} on {title}, input {text}; "
                f"expected {WORST[options.precision]:.0f} dB or more in {options.precision}. "
                "Nothing was written"
            )
        found[text] = round(value, 2) if math.isfinite(value) else None
    return Verification(title, reference[1], run[1], found)


def _shapes(options: ExportOptions, photo: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """(N, H, W) of the inputs."""
    if options.shape:
        more = [(2, *options.shape)] if options.batch is None else []
        return [(options.batch or 1, *options.shape), *more]
    h, w = (min(side, LARGEST) for side in photo.shape[:2])
    return [(options.batch or 1, h, w), (options.batch or ODD[0], *ODD[1:])]


def _inputs(
    graph: Graph, options: ExportOptions, photo: NDArray[np.uint8], shape: tuple[int, int, int]
) -> Arrays:
    """Pictures are the photograph's, anything else is random."""
    n, (h, w), rng = shape[0], shape[1:], np.random.default_rng(0)
    given: dict[str, NDArray[Any]] = {}
    first = next(iter(graph.inputs))
    for name, x in graph.inputs.items():
        grid = graph.values[name].grid
        # Where sizes are open, others are turned, so that one which takes another's is noticed.
        turned = grid.of != first and not (options.shape or options.largest)
        size = (n, *(grid.size(w, h) if turned else grid.size(h, w)))
        if not x.picture:
            given[name] = rng.standard_normal((*size, x.channels), dtype=np.float32)
            continue
        bytes_ = photograph.shaped(photo, *size, x.channels)
        floats = bytes_.astype(np.float32) / np.float32(255)
        given[name] = bytes_ if options.io == "uint8" else floats
    return given
