"""One operation with weights and inputs: our kernels, and its definition in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from imagen_fast.kernels.triton.launch import DTYPES
from imagen_fast.kernels.triton.program import Target, Weights, program_of
from random_graphs import inputs_for, weights_for
from reference import Reference
from torch import Tensor

from imagen_fast.backends.triton import processor
from imagen_fast.graph import Graph
from imagen_fast.models.operations import run_steps, steps
from on_gpu.layers import Layer


def definition(
    graph: Graph, tensors: Mapping[str, Any], dtype: torch.dtype, device: torch.device
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """The first output by PyTorch, channels_last in one dtype, from inputs of (N, H, W, C).

    A picture is clamped, and of bytes where an input is.
    """
    ((name, output),) = graph.outputs.items()
    todo, layout = steps(graph), torch.channels_last
    weights = {role: torch.from_numpy(x).to(device, dtype) for role, x in tensors.items()}
    weights = {
        role: x.to(memory_format=layout) if x.ndim == 4 else x for role, x in weights.items()
    }

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        of_bytes = any(x.dtype == torch.uint8 for x in inputs.values())
        given = {
            name: (x.to(dtype) / 255 if x.dtype == torch.uint8 else x.to(dtype)).movedim(3, 1)
            for name, x in inputs.items()
        }
        y = run_steps(todo, weights, given)[name].movedim(1, 3)
        if output.picture:
            y = y.clamp(0, 1)
            y = (y.float() * 255).round().to(torch.uint8) if of_bytes else y
        return y.contiguous()

    return run


class Case:
    """A layer with random weights, under which everything shows, and random inputs.

    Args:
        kind: of features, "bf16" or "fp16".
        as_bytes: whether pictures are of bytes, not of float32.

    Attributes:
        inputs: (N, H, W, C) by name.
        written: memory that `ours` writes, the result first.
        bytes: that cannot be avoided.
    """

    def __init__(
        self, layer: Layer, kind: str, device: torch.device, as_bytes: bool = True
    ) -> None:
        self.layer, self.kind, self._device = layer, kind, device
        graph, rng = layer.graph, np.random.default_rng(0)
        self._tensors = weights_for(graph, rng)
        self.inputs = {}
        for name, array in inputs_for(graph, *layer.size, rng).items():
            x = torch.from_numpy(array).to(device)
            if not graph.inputs[name].picture:
                x = x.to(DTYPES[kind])
            elif as_bytes:
                x = (x * 255).round().to(torch.uint8)
            self.inputs[name] = x
        weights = Weights(self._tensors, kind, device)
        target = Target(*processor(device), "u8" if as_bytes else "fp32", inner=True)
        sizes: Any = {name: x.shape[:3] for name, x in self.inputs.items()}
        self._program = program = program_of(graph, weights, sizes, target)
        self._memory: dict[int | str, Tensor] = {
            number: torch.zeros(buffer.elements, dtype=DTYPES[buffer.kind], device=device)
            for number, buffer in enumerate(program.buffers)
        }
        self._memory |= {program.inputs[name].of: x.flatten() for name, x in self.inputs.items()}
        self._memory |= weights.packed
        self._out = self._memory[program.outputs["y"].of].view(program.outputs["y"].shape)
        self.written = [self._out, *(self._memory[i] for i in program.work)]
        numbers = [*self.inputs.values(), self._out, *weights.packed.values()]
        self.bytes = sum(x.numel() * x.element_size() for x in numbers)

    def ours(self) -> Tensor:
        """The operation, into memory of its own; (N, H, W, C)."""
        self._program.run(self._memory)
        return self._out

    def theirs(self) -> Callable[[], Tensor]:
        """The definition in the same precision."""
        run = definition(self.layer.graph, self._tensors, DTYPES[self.kind], self._device)
        return lambda: run(self.inputs)

    def errors(self, found: Tensor) -> dict[str, Any]:
        """See `judged`."""
        graph, device = self.layer.graph, self._device.type
        given = {name: numbers(x) for name, x in self.inputs.items()}
        given = {n: x / np.float32(255) if x.dtype == np.uint8 else x for n, x in given.items()}
        reference = Reference(graph, self._tensors, given, ["y"], "kernel", device)
        return judged(reference, "y", numbers(found), self.kind)


def numbers(x: Tensor) -> np.ndarray[Any, Any]:
    """Bytes, or float32."""
    array: np.ndarray[Any, Any] = (x if x.dtype == torch.uint8 else x.float()).cpu().numpy()
    return array


def judged(
    reference: Reference, name: str, found: np.ndarray[Any, Any], kind: str
) -> dict[str, Any]:
    """Our error, PyTorch's and what is allowed, root mean square against the truth."""
    error, theirs, allowed = reference.errors(name, found, kind)
    return {"error": error, "torch": theirs, "allowed": allowed, "ok": bool(error <= allowed)}
