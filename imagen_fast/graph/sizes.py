"""Kinds that change how many pixels there are."""

from __future__ import annotations

from collections.abc import Mapping

from imagen_fast.errors import SpecError
from imagen_fast.graph import convolutions
from imagen_fast.graph.kind import (
    FACTOR,
    Interval,
    Kind,
    Read,
    Settings,
    Whole,
    Word,
    first,
    second,
)
from imagen_fast.graph.operation import Value


def _enlarged(a: Settings, x: Read) -> Value:
    return Value(first(x).channels, first(x).grid.enlarged(a["factor"]))


def _enlarged_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    return pixels[0] // a["factor"], pixels[1] // a["factor"]


def _bilinear_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    factor = a["factor"]
    low, high = (2 * end + 1 - factor for end in pixels)  # in parts of 1 / (2 · factor) pixel
    return low // (2 * factor), -(-high // (2 * factor))


def _shuffled(a: Settings, x: Read) -> Value:
    channels, square = first(x).channels, a["factor"] ** 2
    if channels % square:
        raise SpecError(f"{channels} channels; expected a multiple of factor², {square}")
    return Value(channels // square, first(x).grid.enlarged(a["factor"]))


def _unshuffled(a: Settings, x: Read) -> Value:
    grid, factor = first(x).grid, a["factor"]
    if factor & (factor - 1):
        raise SpecError(f"factor is {factor}; expected a power of two")
    while factor > 1:
        grid, factor = grid.halved(), factor // 2
    return Value(first(x).channels * a["factor"] ** 2, grid)


def _unshuffled_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    return a["factor"] * pixels[0], a["factor"] * (pixels[1] + 1) - 1


def _pooled(a: Settings, x: Read) -> Value:
    grid = first(x).grid
    return Value(first(x).channels, grid.halved() if a["stride"] == 2 else grid)


def _padded(a: Settings, x: Read) -> Value:
    grid = first(x).grid.completed(a["halvings"]).widened(a["margin"])
    return Value(first(x).channels, grid)


def _cropped(a: Settings, x: Read) -> Value:
    grid, like = first(x).grid, second(x)
    target = grid.widened(-a["margin"]) if like is None else like.grid.enlarged(a["factor"])
    if like is None and a["factor"] != 1:
        raise SpecError("a factor is of what it is like, and there is nothing")
    covered = (
        grid.of == target.of
        and grid.factor << target.halvings == target.factor << grid.halvings
        and grid.halvings >= target.halvings
        and grid.around - 2 * a["margin"] == target.around
    )
    if not covered:
        raise SpecError(f"its input lies on {grid}, and less {a['margin']} is no {target}")
    return Value(first(x).channels, target)


def _cropped_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    return _enlarged_reads(a, x, pixels, place) if place else pixels  # what it is like has them too


SIZES: Mapping[str, Kind] = {
    # Channel (c, dy, dx) becomes channel c of the pixel at (dy, dx) within factor² pixels.
    "pixel_shuffle": Kind(
        ("x",),
        {"factor": FACTOR},
        _shuffled,
        reads=_enlarged_reads,
        flops=lambda a, x, y: 0,
    ),
    # The pixel at (dy, dx) within factor² pixels becomes channel (c, dy, dx); a side that is no
    # multiple of the factor, a power of two, is completed by zeros.
    "pixel_unshuffle": Kind(
        ("x",),
        {"factor": FACTOR},
        _unshuffled,
        reads=_unshuffled_reads,
        flops=lambda a, x, y: 0,
    ),
    "nearest": Kind(
        ("x",),
        {"factor": FACTOR},
        _enlarged,
        reads=_enlarged_reads,
        flops=lambda a, x, y: 0,
    ),
    # `factor` times as large: pixel i lies at (i + 0.5) / factor - 0.5 of x, between whose two
    # pixels it is drawn along each axis; beyond the border is the outermost one.
    "bilinear": Kind(
        ("x",),
        {"factor": FACTOR},
        _enlarged,
        reads=_bilinear_reads,
        flops=lambda a, x, y: 6.0 * y.channels,
    ),
    # Means of 2×2 pixels; an odd last row or column counts twice.
    "halve": Kind(
        ("x",),
        {},
        lambda a, x: Value(first(x).channels, first(x).grid.halved()),
        reads=lambda a, x, pixels, place: (2 * pixels[0], 2 * pixels[1] + 1),
        flops=lambda a, x, y: 4.0 * y.channels,
    ),
    # The maximum of the pixels that a convolution of this kernel and stride would read, of those
    # within the picture.
    "max_pool": Kind(
        ("x",),
        {"kernel": (Whole(2, convolutions.MAX_KERNEL), None), "stride": (Whole(1, 2), 1)},
        _pooled,
        reads=convolutions.reads,
        flops=lambda a, x, y: float(y.channels * a["kernel"] ** 2),
    ),
    # Sides completed at their far ends to multiples of 2^halvings, and then `margin` pixels more
    # all around: zeros, mirrored without the outermost one (reflect, again and again where there
    # are too few) or the outermost one (edge).
    "pad": Kind(
        ("x",),
        {
            "padding": (Word(convolutions.BORDERS), "zero"),
            "margin": (Whole(0, 256), 0),
            "halvings": (Whole(0, 8), 0),
        },
        _padded,
        flops=lambda a, x, y: 0,
    ),
    # x without its first `margin` rows and columns, as far as what it is like reaches, factor times
    # as large; without that, less `margin` at the far ends too.
    "crop": Kind(
        ("x", "like?"),
        {"margin": (Whole(0, 4096), 0), "factor": (Whole(1, 16), 1)},
        _cropped,
        reads=_cropped_reads,
        flops=lambda a, x, y: 0,
    ),
}
