"""Which input pixels an output depends on, and how tiles must overlap for nothing to change."""

from __future__ import annotations

import math

from imagen_fast.graph.graph import Graph
from imagen_fast.graph.grid import Grid
from imagen_fast.graph.kind import EVERYTHING, Interval
from imagen_fast.graph.kinds import KINDS, period
from imagen_fast.graph.operation import Operation
from imagen_fast.graph.passes import needed

# Input pixels over which one tile's output fades into the next one's.
RAMP = 8


def alignment(graph: Graph) -> int:
    """Input pixels after which the whole computation repeats: tiles start at multiples of it.

    Windows are anchored at the picture's top-left corner, so a tile sees the same windows as the
    whole picture only if it starts on their common grid.
    """
    graph = main_part(graph)
    return math.lcm(
        *(
            period(operation, graph.values[name].grid)
            for operation in graph.operations
            for name in (operation.output, operation.inputs[0])
        )
    )


def reads(graph: Graph, position: int) -> Interval | None:
    """First and last pixel of the first input, along one axis, that decide an input pixel's output.

    In an endless picture, for the first output, of which several pixels may belong to an input
    pixel or several of these to one of its; None if all pixels can. Walks the operations
    backwards with the interval of pixels that each value is needed in. What does not come from the
    first input is the same for all tiles and counts for nothing.
    """
    graph = main_part(graph)
    image, output = next(iter(graph.inputs)), next(iter(graph.outputs.values())).value
    grid = graph.values[output].grid
    place = position >> grid.halvings
    wanted: dict[str, Interval] = {output: (grid.factor * place, grid.factor * (place + 1) - 1)}
    cut = {image}
    for operation in graph.operations:
        if not cut.isdisjoint(operation.inputs):
            cut.add(operation.output)
    for operation in reversed(graph.operations):
        if operation.output not in cut:
            continue
        pixels = wanted[operation.output]
        kind = KINDS[operation.kind]
        values = [graph.values[name] if name else None for name in operation.inputs]
        for place, name in enumerate(operation.inputs):
            if name in cut:
                low, high = kind.reads(kind.settings(operation), values, pixels, place)
                if low <= EVERYTHING[0]:
                    return None
                if _lies_between(graph.values[name].grid, graph.values[operation.output].grid):
                    low, high = low - 1, high + 1
                before = wanted.get(name, (low, high))
                wanted[name] = min(low, before[0]), max(high, before[1])
    return wanted.get(image, (position, position))


def _lies_between(x: Grid, y: Grid) -> bool:
    """Whether half a pixel of one grid counts where positions on it become those on the other."""
    halfway = x.around % 2 or y.around % 2
    return bool(halfway) and (x.halvings, x.factor) != (y.halvings, y.factor)


def radius(graph: Graph) -> int | None:
    """Input pixels to each side that can change an output pixel; None if all of them can.

    The largest over all positions: windows make it depend on the position, with a period of
    `alignment`.
    """
    widest = 0
    for position in range(alignment(graph)):
        interval = reads(graph, position)
        if interval is None:
            return None
        widest = max(widest, position - interval[0], interval[1] - position)
    return widest


def exact_overlap(graph: Graph) -> int | None:
    """The smallest overlap with which tiled equals whole; None if no overlap is enough.

    In input pixels that a tile reads beyond what it answers for (tiling.py).
    """
    widest, step = radius(graph), alignment(graph)
    if widest is None:
        return None
    # Counted from the start of tile k+1, tile k ends at `shared`.
    shared = -(-(2 * widest + RAMP) // step) * step
    while shared > step and _is_exact(graph, shared - step):
        shared -= step
    return shared // 2


def _is_exact(graph: Graph, shared: int) -> bool:
    """Whether everything that both tiles are seen in across the seam is read by both."""
    ramp = min(RAMP, shared)
    for position in range((shared - ramp) // 2, (shared + ramp) // 2):
        interval = reads(graph, position)
        if interval is None or interval[0] < 0 or interval[1] >= shared:
            return False
    return True


def averages(graph: Graph) -> bool:
    """Whether the first output depends on means, or the like, over the whole picture."""
    return any(map(_averages, graph.operations)) and any(
        map(_averages, main_part(graph).operations)
    )


def _averages(operation: Operation) -> bool:
    return operation.kind == "reduce" and operation.attributes["over"] == "picture"


def main_part(graph: Graph) -> Graph:
    """What the first output needs, with the defaults of optional inputs in their place."""
    graph = graph.without([name for name, x in graph.inputs.items() if x.optional])
    return needed(graph, [next(iter(graph.outputs))])
