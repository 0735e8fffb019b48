"""What a network costs by arithmetic."""

from __future__ import annotations

from imagen_fast.graph.graph import Graph
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.reach import main_part


def flops(graph: Graph, height: int, width: int) -> int:
    """Operations for a picture (height, width) and the first output, two for a multiplication and
    its sum.

    As the definition has them: a convolution of 3×3 counts nine taps a weight, though Winograd's
    form needs fewer; windows that reach beyond the picture count whole. Activations and norms, far
    below one per cent, are left out.
    """
    graph = main_part(graph)
    total = 0.0
    for operation in graph.operations:
        kind, result = KINDS[operation.kind], graph.values[operation.output]
        settings = kind.settings(operation)
        read = [graph.values[name] if name else None for name in operation.inputs]
        rows, columns = result.grid.size(height, width)
        each = kind.flops(settings, read, result)
        if window := settings.get("window"):
            rows, columns = (
                -(-(side + settings["shift"]) // window) * window for side in (rows, columns)
            )
        elif operation.kind == "global_attention":
            keys = next(x for x in (*read[1:2], read[0]) if x is not None)
            tall, wide = keys.grid.size(height, width)
            each += 4.0 * result.channels * tall * wide
        total += each * rows * columns
    return round(total)
