"""A graph's launches in Triton's interpreter, or on a GPU, over memory that shows what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from imagen_fast.kernels.triton.launch import DTYPES
from imagen_fast.kernels.triton.program import Program, Target, Weights, program_of
from numpy.typing import NDArray
from reference import Reference, rms
from torch import Tensor

from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The interpreter has no bf16: its sums and products work on the bit patterns.
KINDS = ["fp16", "bf16"] if DEVICE == "cuda" else ["fp32", "fp16"]
MARGIN = 1 << 12

Arrays = Mapping[str, NDArray[np.generic]]


def program(
    graph: Graph,
    tensors: Arrays,
    inputs: Arrays,
    wanted: Sequence[str],
    kind: str,
    arch: int = 90,
    processors: int = 3,
) -> tuple[Program, Weights]:
    """The launches for these arrays."""
    graph = needed(graph.given(inputs), wanted)
    weights = Weights(tensors, kind, DEVICE)
    samples = "u8" if any(x.dtype == np.uint8 for x in inputs.values()) else "fp32"
    sizes = {name: x.shape[:3] for name, x in inputs.items()}
    return program_of(graph, weights, sizes, Target(arch, processors, samples)), weights


def run(
    graph: Graph,
    tensors: Arrays,
    inputs: Arrays,
    wanted: Sequence[str],
    kind: str,
    **target: int,
) -> tuple[dict[str, Tensor], bool]:
    """The outputs, and whether they are said to be finite.

    Buffers are full of NaN, and lie amid NaN as packed tensors do.
    """
    found, weights = program(graph, tensors, inputs, wanted, kind, **target)
    memory: dict[int | str, Tensor] = {
        number: amid_nan(torch.full((buffer.elements,), float("nan")).to(DTYPES[buffer.kind]))
        for number, buffer in enumerate(found.buffers)
    }
    memory |= {name: amid_nan(x) for name, x in weights.packed.items()}
    memory[found.flag.of].zero_()
    for name, array in found.inputs.items():
        memory[array.of].copy_(torch.from_numpy(inputs[name].reshape(-1).copy()))
    found.run(memory)
    outputs = {name: memory[x.of].view(x.shape).clone() for name, x in found.outputs.items()}
    return outputs, not memory[found.flag.of].item()


def amid_nan(x: Tensor) -> Tensor:
    """A tensor on the device with NaN before and after it, so that reads beyond it show."""
    fill = float("nan") if x.is_floating_point() else 77
    memory = torch.full((MARGIN + x.numel() + MARGIN,), fill, dtype=x.dtype, device=DEVICE)
    return memory[MARGIN : MARGIN + x.numel()].view(x.shape).copy_(x)


def assert_parity(
    graph: Graph, tensors: Arrays, inputs: Arrays, wanted: Sequence[str], kind: str, **target: int
) -> dict[str, Tensor]:
    """At most twice PyTorch's error in the same precision, plus a floor; the outputs."""
    ours, finite = run(graph, tensors, inputs, wanted, kind, **target)
    assert finite
    given = {name: x / np.float32(255) if x.dtype == np.uint8 else x for name, x in inputs.items()}
    definition = Reference(graph, tensors, given, wanted, "kernel", DEVICE)
    for name in wanted:
        of_bytes, found = ours[name].dtype == torch.uint8, ours[name].double().cpu().numpy()
        assert found.shape == definition.truth[name].shape
        error, _, allowed = definition.errors(name, found / 255 if of_bytes else found, kind)
        allowed += 0.5 / 255 if of_bytes else 0
        assert error <= allowed, f"{name}: {error:.2e}, allowed {allowed:.2e}"
        assert rms(definition.truth[name]) > 0.01
    return ours
