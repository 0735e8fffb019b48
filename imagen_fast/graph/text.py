"""A graph in words, one line an operation."""

from __future__ import annotations

from imagen_fast.graph.graph import Graph
from imagen_fast.graph.grid import Grid
from imagen_fast.graph.kinds import KINDS


def describe(graph: Graph) -> list[tuple[str, str, str, str]]:
    """Rows of what is computed: its name, channels and size, how, and from what."""
    rows = []
    for name, x in graph.inputs.items():
        kind = "picture" if x.picture else "numbers"
        left_out = f", else {x.default}" if x.default else ", may be left out" if x.optional else ""
        rows.append((name, _value(graph, name), f"{kind} given{left_out}", ""))
    for operation in graph.operations:
        defaults = KINDS[operation.kind].attributes
        settings = [
            f"{key} {value}" if not isinstance(value, str) else value
            for key, value in operation.attributes.items()
            if key != "channels" and value != defaults[key][1]
        ]
        how = operation.kind.replace("_", " ")
        rows.append(
            (
                operation.output,
                _value(graph, operation.output),
                f"{how} ({', '.join(settings)})" if settings else how,
                ", ".join(x or "-" for x in operation.inputs),
            )
        )
    for name, output in graph.outputs.items():
        kind = "picture" if output.picture else "numbers"
        rows.append((f"→ {name}", _value(graph, output.value), kind, output.value))
    return rows


def _value(graph: Graph, name: str) -> str:
    value = graph.values[name]
    return f"{value.channels} × {_size(value.grid)}"


def _size(grid: Grid) -> str:
    if not grid.of:
        return "1 pixel"
    part = f"/{2**grid.halvings}" if grid.halvings else ""
    factor = f"·{grid.factor}" if grid.factor > 1 else ""
    margin = f"+{grid.around}" if grid.around else ""
    return f"{grid.of}{part}{factor}{margin}"
