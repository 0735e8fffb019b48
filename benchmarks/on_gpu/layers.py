"""The operations of a network one by one: each as a graph of its own, over its own sizes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from imagen_fast.graph import Graph, Grid, Input, Operation, Output
from imagen_fast.graph.cost import flops
from imagen_fast.graph.passes import needed

Size = tuple[int, int, int]  # N, H, W


@dataclass(frozen=True)
class Layer:
    """One operation.

    Attributes:
        text: its graph, as JSON: inputs `x0` and so on, the first of them of a size of its own,
            and the output `y`.
        size: of that input.
    """

    text: str
    size: Size

    @cached_property
    def graph(self) -> Graph:
        """The operation alone."""
        return Graph.from_json(self.text)

    @property
    def name(self) -> str:
        """As tables have it: `window attention, 64 of 64, 64, 64; shift 4`."""
        (x,), graph = self.graph.operations, self.graph
        read = ", ".join(str(graph.values[name].channels) if name else "-" for name in x.inputs)
        facts = [f"{key} {value}" for key, value in x.attributes.items() if key != "channels"]
        kind = x.kind.replace("_", " ")
        return "; ".join([f"{kind}, {graph.values['y'].channels} of {read}", *facts])

    @property
    def flops(self) -> int:
        return self.size[0] * flops(self.graph, *self.size[1:])


def layers(graph: Graph, n: int, h: int, w: int) -> dict[Layer, int]:
    """Each different operation on the first output's way, and how often it runs."""
    first, output = next(iter(graph.inputs)), next(iter(graph.outputs))
    part = needed(graph.given([first]), [output])
    return dict(Counter(_alone(part, x, (n, h, w)) for x in part.operations))


def _alone(graph: Graph, x: Operation, size: Size) -> Layer:
    """One operation; what it reads lies relative to the finest of its inputs, which comes first."""
    read = sorted(dict.fromkeys(name for name in x.inputs if name),
                  key=lambda name: graph.values[name].grid.halvings)  # fmt: skip
    names = {name: f"x{number}" for number, name in enumerate(read)} | {"": ""}
    finest = graph.values[read[0]].grid
    inputs = {}
    for name in read:
        value = graph.values[name]
        picture = name in graph.inputs and graph.inputs[name].picture
        grid = Grid("x0", value.grid.halvings - finest.halvings, value.grid.factor // finest.factor)
        inputs[names[name]] = Input(value.channels, picture, None if name == read[0] else grid)
    picture = any(out.value == x.output and out.picture for out in graph.outputs.values())
    roles = {role: role for role in x.tensors}
    operation = Operation(x.kind, "y", tuple(names[n] for n in x.inputs), roles, x.attributes)
    alone = Graph(inputs, (operation,), {"y": Output("y", picture)})
    return Layer(alone.to_json(), (size[0], *finest.size(*size[1:])))
