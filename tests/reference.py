"""What graphs give by their definitions: in float64, the truth, and as PyTorch rounds.

An engine may err at most twice what PyTorch errs in the same precision, plus a floor of rounding,
of the values' size, where PyTorch happens to err little or not to round at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed
from imagen_fast.models.operations import compute, run_graph

Arrays = Mapping[str, NDArray[Any]]
Outputs = dict[str, NDArray[np.float64]]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FLOORS = {
    "picture": {"fp32": 6e-8, "bf16": 4e-4, "fp16": 2e-4},  # a network's first output
    "levels": {"fp32": 2e-7, "bf16": 8e-4, "fp16": 4e-4},  # its others, a latent's too
    "graph": {"fp32": 3e-7, "bf16": 2e-3, "fp16": 1e-3},
    # In bf16 a single convolution by way of Winograd's transforms, which are rounded as well, errs
    # thrice as much as PyTorch's.
    "operation": {"fp32": 3e-7, "bf16": 1e-2, "fp16": 1e-3},
    "random": {"fp32": 2e-6, "bf16": 1e-2, "fp16": 1e-2},  # a wrong plan is off by much more
    "kernel": {"fp32": 1e-7, "bf16": 2e-3, "fp16": 2e-4},  # few numbers have no more
}
BYTES = 5e-4  # of what is rounded to bytes, as the definition's answers then are
FEW = 64  # numbers, of which PyTorch's may all be rounded well by chance


def rms(x: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(x**2)))


class Reference:
    """A graph's outputs for inputs (N, H, W, C), pictures clamped.

    Args:
        sort: of `FLOORS`. The first two are run as PyTorch runs them (autocast), of anything else
            each operation's result is rounded, as engines keep it.
        device: on which PyTorch computes.
    """

    def __init__(
        self,
        graph: Graph,
        tensors: Arrays,
        inputs: Arrays,
        outputs: Sequence[str],
        sort: str = "graph",
        device: str = "cpu",
    ) -> None:
        self.graph, self.tensors, self.inputs = graph, tensors, inputs
        self.outputs, self.sort, self.device = list(outputs), sort, device
        self.theirs = cache(self._rounded)
        arrays = self._as(torch.float64, inputs, (0, 3, 1, 2))
        weights = self._as(torch.float64, tensors)
        with torch.inference_mode():
            self.truth = self._clamped(run_graph(graph, weights, arrays, outputs))

    def problem(self, found: Arrays, precision: str, least: float = 0) -> str:
        """What is too far off: "" if nothing is. `least` is a floor where it is the higher one."""
        for name, array in found.items():
            truth = self.truth[name]
            if array.shape != truth.shape:
                return f"{name}: of shape {array.shape}; expected {truth.shape}"
            error, theirs, allowed = self.errors(name, array, precision, least)
            if not error <= allowed:
                return f"{name}: off by {error:.2e}, PyTorch by {theirs:.2e}, of {rms(truth):.2e}"
        return ""

    def errors(
        self, name: str, array: NDArray[Any], precision: str, least: float = 0
    ) -> tuple[float, float, float]:
        """An output's error, PyTorch's, and what is allowed: root mean squares."""
        truth, theirs = self.truth[name], self.theirs(precision)[name]
        floor = FLOORS[self.sort][precision]
        if array.dtype == np.uint8:
            truth, theirs, floor = np.rint(255 * truth), np.rint(255 * theirs), BYTES
        if array.size <= FEW and self.sort != "kernel":
            floor *= 8
        error, other = rms(array - truth), rms(theirs - truth)
        return error, other, 2 * other + max(floor, least) * rms(truth)

    @torch.inference_mode()
    def _rounded(self, precision: str) -> Outputs:
        dtype = DTYPES[precision]
        if self.sort in ("picture", "levels"):
            arrays = self._as(torch.float32, self.inputs, (0, 3, 1, 2))
            weights = self._as(torch.float32, self.tensors)
            with torch.autocast(self.device, dtype, enabled=precision != "fp32"):
                return self._clamped(run_graph(self.graph, weights, arrays, self.outputs))
        graph = needed(self.graph.given(self.inputs), self.outputs)
        values = self._as(dtype, {n: self.inputs[n] for n in graph.inputs}, (0, 3, 1, 2))
        weights = self._as(dtype, self.tensors)
        for operation in graph.operations:
            roles = {role: weights[name] for role, name in operation.tensors.items()}
            read = [values[name] if name else None for name in operation.inputs]
            values[operation.output] = compute(operation, roles, read).to(dtype)
        return self._clamped({name: values[x.value] for name, x in graph.outputs.items()})

    def _clamped(self, outputs: dict[str, torch.Tensor]) -> Outputs:
        doubles = {
            name: x.double().permute(0, 2, 3, 1).cpu().numpy() for name, x in outputs.items()
        }
        pictures = self.graph.outputs
        return {n: x.clip(0, 1) if pictures[n].picture else x for n, x in doubles.items()}

    def _as(
        self, dtype: torch.dtype, arrays: Arrays, order: tuple[int, ...] = ()
    ) -> dict[str, torch.Tensor]:
        tensors = {name: torch.from_numpy(x).to(self.device, dtype) for name, x in arrays.items()}
        return {name: x.permute(order) if order else x for name, x in tensors.items()}
