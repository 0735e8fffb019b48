"""A bundle's plan run on a CPU, in Triton's interpreter: buffers, order, grids, arguments, weights.

    python -m imagen_fast.export.bundle_interpreted BUNDLE ARCH INPUTS.npz OUTPUTS.npz

What runs are the kernels' sources, which the plan names, not the machine code. The interpreter has
no bf16: such a plan runs on the same weights in float32.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from imagen_fast.errors import ExportError, WeightsError

from .bundle_file import read_header
from .bundle_plan import Call, Program
from .verify import Arrays

# Modules of kernels.triton that hold kernels: nothing else is taken from what a plan names.
MODULES = (
    *("attention", "attention_map", "conv", "conv3x3", "depthwise", "elementwise"),
    *("linear", "reduce", "stem", "up", "window_attention"),
)
PROCESSORS = 3  # of the GPU that is played


def outputs(path: Path, arch: int, given: Arrays) -> dict[str, NDArray[Any]]:
    """All inputs → all outputs, by the program for sm_`arch`.

    In a process of its own, since Triton's interpreter is chosen for a whole process.

    Raises:
        ExportError: it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        read, made = Path(folder, "given.npz"), Path(folder, "made.npz")
        graph, _, _ = read_header(path)
        np.savez(read, *(given[name] for name in graph.inputs))
        done = subprocess.run(
            [sys.executable, "-m", __name__, path, str(arch), read, made],
            env={**os.environ, "TRITON_INTERPRET": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise ExportError(f"the plan for sm_{arch} does not run: {last[0]}")
        with np.load(made, allow_pickle=False) as results:
            return dict(zip(graph.outputs, results.values(), strict=True))


def interpreted(path: Path, arch: int, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """`outputs`, in the graph's order, in this process, whose interpreter is on."""
    graph, plan, _ = read_header(path)
    program = plan.programs[arch]
    feature = torch.float32 if plan.precision == "bf16" else torch.float16
    memory: dict[int | str, Tensor] = {
        name: value.to(feature) if value.dtype == torch.bfloat16 else value
        for name, value in load_file(path).items()
        if value.dtype != torch.uint8
    }
    values = {"N": len(arrays[0]), "P": PROCESSORS}
    for number, x in enumerate(arrays):
        values |= {f"H{number}": x.shape[1], f"W{number}": x.shape[2]}
    in_bytes = any(x.dtype == np.uint8 for x in arrays)
    samples = torch.uint8 if in_bytes else torch.float32
    kinds = {"sample": samples, "number": torch.float32, "feature": feature}
    memory.update(_buffers(program, values, kinds))
    for number, x in enumerate(arrays):
        memory[number].copy_(torch.from_numpy(x.reshape(-1)))
    for call in program.calls("u8" if in_bytes else "fp32", values):
        _launch(call, memory)
    if memory[program.flag].item():
        raise WeightsError("an output is not finite")
    found, sides = [], {name: x.shape[1:3] for name, x in zip(graph.inputs, arrays, strict=True)}
    for number, output in enumerate(graph.outputs.values(), len(arrays)):
        value = graph.values[output.value]
        h, w = value.grid.size(*sides.get(value.grid.of, (1, 1)))
        found.append(memory[number].numpy().reshape(-1, h, w, value.channels))
    return found


def _buffers(
    program: Program, values: dict[str, int], kinds: dict[str, torch.dtype]
) -> dict[int | str, Tensor]:
    """Full of NaN, so that what is read without having been written shows."""
    made: dict[int | str, Tensor] = {}
    for number, elements in enumerate(program.elements(values)):
        dtype = kinds.get(program.buffers[number][0], torch.int32)
        fill = float("nan") if dtype.is_floating_point else 0
        made[number] = torch.full((elements,), fill, dtype=dtype)
    return made


def _launch(call: Call, memory: dict[int | str, Tensor]) -> None:
    module, name = call.kernel.source.split(".")
    if module not in MODULES:
        raise WeightsError(f"the plan names the kernel {call.kernel.source!r}, which there is not")
    function = getattr(import_module(f"imagen_fast.kernels.triton.{module}"), name)
    names = [name for name, *_ in call.kernel.parameters]
    arguments = {
        name: value if where is None else memory[where].flatten()[value:]
        for name, (where, value) in zip(names, call.arguments, strict=True)
    }
    function[call.grid](**arguments, **call.kernel.constants)


def main() -> None:
    """See above."""
    bundle, arch, given, made = sys.argv[1:]
    with np.load(given, allow_pickle=False) as inputs:
        np.savez(made, *interpreted(Path(bundle), int(arch), list(inputs.values())))


if __name__ == "__main__":
    main()
