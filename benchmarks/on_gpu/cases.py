"""One operation with weights and inputs: our kernels, its definition in PyTorch, what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from imagen_fast.kernels.triton.launch import DTYPES
from imagen_fast.kernels.triton.program import Program, Target, Weights, program_of
from torch import Tensor

from imagen_fast.backends.triton import processor
from imagen_fast.graph.cost import flops
from imagen_fast.models.operations import run_steps, steps
from on_gpu.layers import Layer


@dataclass
class Case:
    """What can be done with a layer.

    Attributes:
        inputs: (N, H, W, C) by name, features in the case's dtype, pictures in bytes or float32.
        ours: the operation, into memory of its own; (N, H, W, C).
        written: that memory, the result first.
        theirs: the definition in a dtype as a function without arguments; (N, H, W, C).
        bytes, flops: that cannot be avoided.
    """

    layer: Layer
    inputs: dict[str, Tensor]
    ours: Callable[[], Tensor]
    written: list[Tensor]
    theirs: Callable[[torch.dtype], Callable[[], Tensor]]
    bytes: int
    flops: int


def make(layer: Layer, kind: str, device: torch.device, as_bytes: bool = True) -> Case:
    """A case with random weights, under which everything shows, and random inputs.

    kind: of features, "bf16" or "fp16".
    """
    graph, (n, h, w) = layer.graph, layer.size
    generator = torch.Generator(device).manual_seed(0)
    tensors = _tensors(layer)
    inputs = {}
    for name, x in graph.inputs.items():
        shape = (n, *graph.values[name].grid.size(h, w), x.channels)
        values = torch.rand(shape, generator=generator, device=device)
        if not x.picture:
            values = torch.randn(shape, generator=generator, device=device).to(DTYPES[kind])
        elif as_bytes:
            values = (values * 255).round().to(torch.uint8)
        inputs[name] = values
    weights = Weights(tensors, kind, device)
    target = Target(*processor(device), "u8" if as_bytes else "fp32", inner=True)
    sizes: Any = {name: x.shape[:3] for name, x in inputs.items()}
    program = program_of(graph, weights, sizes, target)
    memory = _memory(program, inputs, device) | weights.packed
    out = memory[program.outputs["y"].of].view(program.outputs["y"].shape)

    def ours() -> Tensor:
        program.run(memory)
        return out

    def theirs(dtype: torch.dtype) -> Callable[[], Tensor]:
        return _reference(layer, tensors, inputs, out.dtype, dtype, device)

    numbers = [*inputs.values(), out, *weights.packed.values()]
    moved = sum(x.numel() * x.element_size() for x in numbers)
    written = [out, *(memory[i] for i in program.work)]
    return Case(layer, inputs, ours, written, theirs, moved, n * flops(graph, h, w))


def _tensors(layer: Layer) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in layer.graph.tensors.items():
        gain = max(1, int(np.prod(shape[1:]))) ** -0.5 if len(shape) > 1 else 0.3
        found[name] = (gain * rng.standard_normal(shape)).astype(np.float32)
    if "temperature" in found:
        found["temperature"] = rng.uniform(-1.5, 1.5, found["temperature"].shape).astype(np.float32)
    return found


def _memory(
    program: Program, inputs: dict[str, Tensor], device: torch.device
) -> dict[int | str, Tensor]:
    memory: dict[int | str, Tensor] = {
        number: torch.zeros(buffer.elements, dtype=DTYPES[buffer.kind], device=device)
        for number, buffer in enumerate(program.buffers)
    }
    return memory | {program.inputs[name].of: x.flatten() for name, x in inputs.items()}


def _reference(
    layer: Layer,
    tensors: dict[str, Any],
    inputs: dict[str, Tensor],
    result: torch.dtype,
    dtype: torch.dtype,
    device: torch.device,
) -> Callable[[], Tensor]:
    """`models/operations.py`, channels_last; a picture clamped, and rounded to bytes."""
    todo, picture = steps(layer.graph), layer.graph.outputs["y"].picture
    weights = {name: torch.from_numpy(x).to(device, dtype) for name, x in tensors.items()}

    def run() -> Tensor:
        given = {
            name: (x.to(dtype) / 255 if x.dtype == torch.uint8 else x.to(dtype)).movedim(3, 1)
            for name, x in inputs.items()
        }
        y = run_steps(todo, weights, given)["y"].movedim(1, 3)
        y = y.clamp(0, 1) if picture else y
        return (y * 255).round().to(torch.uint8) if result == torch.uint8 else y.contiguous()

    return run
