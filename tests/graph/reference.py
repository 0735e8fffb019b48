"""What graphs give by their definitions: in float64, the truth, and as PyTorch rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed
from imagen_fast.models.operations import compute, run_graph

Arrays = Mapping[str, NDArray[Any]]
Outputs = dict[str, NDArray[np.float64]]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Of the values' size: where PyTorch happens to err little, or not to round at all.
FLOORS = {"fp32": 3e-7, "bf16": 2e-3}


def rms(x: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(x**2)))


class Reference:
    """A graph's outputs for inputs (N, H, W, C), pictures clamped."""

    def __init__(
        self, graph: Graph, tensors: Arrays, inputs: Arrays, outputs: Sequence[str]
    ) -> None:
        self.graph, self.tensors, self.inputs = graph, tensors, inputs
        arrays = self._as(torch.float64, inputs, (0, 3, 1, 2))
        weights = self._as(torch.float64, tensors)
        self.truth = self._clamped(run_graph(graph, weights, arrays, outputs))
        self.theirs = {p: self._rounded(dtype, outputs) for p, dtype in DTYPES.items()}

    def problem(self, found: Arrays, precision: str, floor: float = 0) -> str:
        """What is too far off: more than twice PyTorch's error, and a floor. "" if nothing is."""
        for name, array in found.items():
            error = rms(array - self.truth[name])
            theirs = rms(self.theirs[precision][name] - self.truth[name])
            size = rms(self.truth[name])
            # Of a few numbers PyTorch's may all be rounded well by chance.
            floor = max(floor, FLOORS[precision] if array.size > 64 else 8 * FLOORS[precision])
            if not error <= 2 * theirs + floor * size:
                return f"{name}: off by {error:.2e}, PyTorch by {theirs:.2e}, of {size:.2e}"
        return ""

    @torch.no_grad()
    def _rounded(self, dtype: torch.dtype, outputs: Sequence[str]) -> Outputs:
        """Each operation's result rounded, as engines keep it."""
        graph = needed(self.graph.given(self.inputs), outputs)
        values = self._as(dtype, {n: self.inputs[n] for n in graph.inputs}, (0, 3, 1, 2))
        weights = self._as(dtype, self.tensors)
        for operation in graph.operations:
            roles = {role: weights[name] for role, name in operation.tensors.items()}
            read = [values[name] if name else None for name in operation.inputs]
            values[operation.output] = compute(operation, roles, read).to(dtype)
        return self._clamped({name: values[x.value] for name, x in graph.outputs.items()})

    def _clamped(self, outputs: dict[str, torch.Tensor]) -> Outputs:
        doubles = {name: x.double().permute(0, 2, 3, 1).numpy() for name, x in outputs.items()}
        pictures = self.graph.outputs
        return {n: x.clip(0, 1) if pictures[n].picture else x for n, x in doubles.items()}

    @staticmethod
    def _as(
        dtype: torch.dtype, arrays: Arrays, order: tuple[int, ...] = ()
    ) -> dict[str, torch.Tensor]:
        tensors = {name: torch.from_numpy(x).to(dtype) for name, x in arrays.items()}
        return {name: x.permute(order) if order else x for name, x in tensors.items()}
