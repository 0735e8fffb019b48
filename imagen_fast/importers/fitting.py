"""Finding what a network expects around its picture, by tracing it with more and more of that.

A network that halves its picture wants sides that are multiples; one whose convolutions read no
border gives fewer pixels than it reads. Both become operations at the graph's start and end, so
that the graph takes any picture and enlarges it by a whole number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from imagen_fast.errors import OperationError, SpecError
from imagen_fast.graph import Graph, Grid, Input, Operation, Output
from imagen_fast.graph.fusing import fused
from imagen_fast.importers.assembly import IMAGE, Array, Assembly

MOST_HALVINGS = 6
WIDE = 128  # a margin that is more than any network of convolutions without a border takes
SIZES = ((448, 704), (832, 1088))  # multiples of 2^6, no two sides alike

Draw = Callable[[Assembly, "tuple[int, int]"], str]


@dataclass(frozen=True)
class Foreign:
    """Somebody's network, before it is known what it expects.

    Attributes:
        draw: adds its operations for a picture of a height and width, margins included, and
            returns the value that comes out. It reads `Assembly.start`.
        channels: of the picture.
        sizes: of pictures for which the graph must come out the same.
        full: the number that is white; None if the file does not say.
        facts: about the file.
        may_add: what comes out may be what is to be added to the picture, enlarged.
    """

    draw: Draw
    channels: int
    sizes: tuple[tuple[int, int], ...] = SIZES
    full: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    may_add: bool = False


@dataclass(frozen=True)
class Fitted:
    """A graph with its weights, and what was found.

    Attributes:
        multiple: of how many pixels sides are completed to.
        margin: how many pixels are put around the picture.
    """

    graph: Graph
    tensors: dict[str, Array]
    multiple: int
    margin: int


def fit(network: Foreign, full: int = 1, adds: bool = False) -> Fitted:
    """The graph of a network for pictures of any size, in RGB and from 0 to 1.

    Args:
        full: the number that is white to the network.
        adds: the picture with each pixel repeated is added to what comes out.

    Raises:
        OperationError: an operation is none of ours, or the graph depends on the picture's size.
    """
    draw, channels, sizes = network.draw, network.channels, network.sizes
    halvings, margin = _found(draw, channels, sizes[0])
    fitted = [_drawn(draw, channels, margin, halvings, size, full, adds) for size in sizes]
    for other in fitted[1:]:
        same = other.graph == fitted[0].graph and all(
            (other.tensors[name] == x).all() for name, x in fitted[0].tensors.items()
        )
        if not same:
            raise OperationError("the network computes something else for pictures of other sizes")
    return fitted[0]


def _found(draw: Draw, channels: int, size: tuple[int, int]) -> tuple[int, int]:
    """How many halvings the sides must allow, and the least margin."""
    furthest, problem = -1, SpecError("it halves the picture too often")
    for halvings in range(MOST_HALVINGS + 1):
        for margin in (0, WIDE):
            a = Assembly(channels, margin, halvings)
            try:
                output = draw(a, size)
            except SpecError as error:
                if len(a.operations) > furthest:
                    furthest, problem = len(a.operations), error
                continue
            deepest = max(value.grid.halvings for value in a.values.values())
            if deepest > halvings:
                continue
            grid = a.values[output].grid
            if grid.of != IMAGE:
                raise OperationError("its output does not lie where the picture does")
            if grid.factor % (1 << grid.halvings):
                raise OperationError(
                    f"its output is {grid.factor / (1 << grid.halvings):g} times as large as the "
                    "picture; expected a whole multiple"
                )
            if not margin:
                return halvings, 0
            return halvings, _least(draw, a, output, size)
    raise OperationError(str(problem))


def _least(draw: Draw, a: Assembly, output: str, size: tuple[int, int]) -> int:
    grid = a.values[output].grid
    start = a.values[a.start].grid
    scale = grid.factor >> grid.halvings
    least = WIDE - grid.around // (2 * scale)
    for margin in range(max(least, 1), WIDE + 1):
        smaller = Assembly(a.values[IMAGE].channels, margin, start.halvings)
        try:
            draw(smaller, size)
        except SpecError:
            continue
        return margin
    raise OperationError(f"it takes more than {WIDE} pixels from each side")


def _drawn(
    draw: Draw,
    channels: int,
    margin: int,
    halvings: int,
    size: tuple[int, int],
    full: int,
    adds: bool,
) -> Fitted:
    a = Assembly(channels, margin, halvings)
    a.start = a.affine(a.start, full, 0.0)
    output = a.affine(draw(a, size), 1 / full, 0.0)
    grid = a.values[output].grid
    scale = grid.factor >> grid.halvings
    if grid != Grid(IMAGE, 0, scale):
        output = a.add("crop", output, IMAGE, margin=grid.around // 2, factor=scale)
    if adds:
        output = a.total([output, a.add("nearest", IMAGE, factor=scale)])
    graph, tensors = fused(a.graph(output), a.tensors)
    if channels == a.channels(output) == 1:
        graph = _of_three(graph)
    return Fitted(graph, tensors, 1 << halvings, margin)


def _of_three(grey: Graph) -> Graph:
    """A network of one channel, over red, green and blue alike."""
    operations, outputs = [], []
    for channel in range(3):
        names = {IMAGE: f"channel.{channel}"}
        names |= {x.output: f"{x.output}.{channel}" for x in grey.operations}
        how = {"first": channel, "channels": 1}
        operations.append(Operation("slice", names[IMAGE], (IMAGE,), {}, how))
        operations += [
            replace(x, output=names[x.output], inputs=tuple(names[y] for y in x.inputs))
            for x in grey.operations
        ]
        outputs.append(names[next(iter(grey.outputs.values())).value])
    operations.append(Operation("concatenate", "joined", tuple(outputs)))
    return Graph({IMAGE: Input(3, True)}, tuple(operations), {"picture": Output("joined", True)})
