"""Graphs to graphs."""

from __future__ import annotations

from collections.abc import Iterable

from imagen_fast.graph.graph import Graph


def needed(graph: Graph, outputs: Iterable[str]) -> Graph:
    """The graph with these outputs alone, and without operations and inputs that nobody needs.

    What stands in for an input that is needed is needed as well.
    """
    wanted = {name: graph.outputs[name] for name in outputs}
    default = {name: x.default for name, x in graph.inputs.items()}
    names = {output.value for output in wanted.values()}
    names |= {default.get(name, "") for name in names}
    kept = []
    for operation in reversed(graph.operations):
        if operation.output in names:
            kept.append(operation)
            names.update(operation.inputs)
            names.update(default.get(name, "") for name in operation.inputs)
    names |= {x.grid.of for name, x in graph.inputs.items() if name in names and x.grid is not None}
    return Graph(
        {name: x for name, x in graph.inputs.items() if name in names},
        tuple(reversed(kept)),
        wanted,
    )
