"""The article's own generator, `models/listing.py`, as a graph."""

from __future__ import annotations

from imagen_fast.graph.builder import Builder
from imagen_fast.graph.graph import Graph, Input, Output
from imagen_fast.spec import ModelSpec


def listing(spec: ModelSpec) -> Graph:
    """Input and output `rows`: N rows of d_model numbers, as a picture of one row of pixels."""
    b = Builder()
    level = spec.levels[0]
    b.inputs["rows"] = Input(level.channels)
    x = "rows"
    for part in ("encoder", "decoder"):
        for number in range(level.depth):
            module = f"{part}.{number}"
            tensors = {
                "q": "q.weight",
                "q_bias": "q.bias",
                "k": "k.weight",
                "k_bias": "k.bias",
                "v": "v.weight",
                "v_bias": "v.bias",
                "proj": "out.weight",
                "proj_bias": "out.bias",
            }
            x = b.add(
                "global_attention",
                module,
                x,
                tensors={role: f"{module}.{name}" for role, name in tensors.items()},
                head_dim=level.channels,
                plain=True,
            )
    b.outputs["rows"] = Output(x)
    return b.graph()
