"""Outputs of any kind and size for a picture of any size, in parts if memory asks for it.

A part answers for a square of the picture and reads so much around it that the answer is that of
the whole picture: nothing is blended, as `tiling` does with pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imagen_fast.errors import TilingError
from imagen_fast.graph import Graph, Grid
from imagen_fast.graph.passes import needed
from imagen_fast.graph.reach import alignment, averages, radius
from imagen_fast.samples import Samples

Arrays = Mapping[str, Samples]
Run = Callable[[Arrays], dict[str, Samples]]


@dataclass(frozen=True)
class Span:
    """A part along one axis, in input pixels: it reads [start, stop), answers for [low, high)."""

    start: int
    stop: int
    low: int
    high: int


def compute(
    graph: Graph, given: Arrays, names: Sequence[str], side: int, run: Run
) -> dict[str, Samples]:
    """Outputs by name, from parts of the inputs of `side` pixels or little more.

    Args:
        graph: what `run` computes.
        given: inputs by name, (H, W, C), all of the first one's size.
        names: of outputs.
        side: in input pixels.
        run: parts (h, w, C) → each of the outputs (…, …, channels).

    Raises:
        TilingError: the picture is larger than a part, and an output depends on all of it.
    """
    height, width, _ = next(iter(given.values())).shape
    if max(height, width) <= side:
        return run(given)
    halo, step = _halo(graph, names, height, width, side)
    core = max(step, (side - 2 * halo) // step * step)
    found: dict[str, Samples] = {}
    for row in _spans(height, core, halo):
        for column in _spans(width, core, halo):
            at = slice(row.start, row.stop), slice(column.start, column.stop)
            for name, array in run({name: x[at] for name, x in given.items()}).items():
                grid = _grid(graph, name)
                if name not in found:
                    size = grid.size(height, width)
                    found[name] = np.empty((*size, array.shape[2]), array.dtype)
                (y, from_y), (x, from_x) = _pixels(grid, row), _pixels(grid, column)
                found[name][y, x] = array[from_y, from_x]
    return found


def _grid(graph: Graph, name: str) -> Grid:
    return graph.values[graph.outputs[name].value].grid


def _halo(
    graph: Graph, names: Sequence[str], height: int, width: int, side: int
) -> tuple[int, int]:
    """What a part reads around what it answers for, and what both are multiples of."""
    graph = graph.without([name for name, x in graph.inputs.items() if x.optional])
    reach = step = 1
    for name in names:
        part, grid = needed(graph, [name]), _grid(graph, name)
        own = radius(part)
        if own is None or averages(part) or grid.around or not grid.of:
            raise TilingError(
                f"the output {name!r} depends on the whole picture, and one of {width} × {height} "
                f"pixels takes more memory than there is for it (enough for {side} × {side}); make "
                "the picture smaller"
            )
        reach, step = max(reach, own), math.lcm(step, alignment(part))
    return -(-reach // step) * step, step


def _spans(length: int, core: int, halo: int) -> Iterator[Span]:
    for low in range(0, length, core):
        high = min(low + core, length)
        yield Span(max(low - halo, 0), min(high + halo, length), low, high)


def _pixels(grid: Grid, span: Span) -> tuple[slice, slice]:
    """What a span answers for, in pixels of a grid: of the whole picture's, and of the part's."""
    start, low, high = (grid.size(x, 1)[0] for x in (span.start, span.low, span.high))
    return slice(low, high), slice(low - start, high - start)
