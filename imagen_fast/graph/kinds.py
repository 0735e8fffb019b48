"""The kinds of operations: what each reads, which tensors it has, and what it costs.

What a kind computes is written in `models/operations.py`, in plain PyTorch. Activations are
(N, C, H, W) there; H and W are those of the value's grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from imagen_fast.graph.attentions import ATTENTIONS
from imagen_fast.graph.convolutions import CONVOLUTIONS
from imagen_fast.graph.elementwise import ELEMENTWISE
from imagen_fast.graph.grid import Grid
from imagen_fast.graph.kind import Kind
from imagen_fast.graph.operation import Operation
from imagen_fast.graph.sizes import SIZES

KINDS: Mapping[str, Kind] = {**CONVOLUTIONS, **ATTENTIONS, **ELEMENTWISE, **SIZES}


def period(operation: Operation, grid: Grid) -> int:
    """Input pixels after which what an operation on this grid does repeats."""
    window = operation.attributes.get("window", 1)
    assert isinstance(window, int)
    pixels = window * (1 << grid.halvings)
    return pixels // math.gcd(pixels, grid.factor)
