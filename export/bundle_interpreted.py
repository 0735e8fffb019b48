"""A bundle's plan run on a CPU, in Triton's interpreter: buffers, order, grids, arguments, weights.

    python -m imagen_fast.export.bundle_interpreted BUNDLE ARCH IMAGE.npy PICTURE.npy

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

# Modules of kernels.triton that hold kernels: nothing else is taken from what a plan names.
MODULES = ("attention", "conv_block", "down", "head", "linear", "stem", "up", "window_attention")
PROCESSORS = 3  # of the GPU that is played
DTYPES = {"bf16": torch.float32, "fp16": torch.float16, "fp32": torch.float32}


def picture(path: Path, arch: int, image: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W, C) uint8 or float32 → (N, s·H, s·W, C) by the plan for sm_`arch`.

    In a process of its own, since Triton's interpreter is chosen for a whole process.

    Raises:
        ExportError: it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given.npy"), Path(folder, "made.npy")
        np.save(given, image)
        done = subprocess.run(
            [sys.executable, "-m", __name__, path, str(arch), given, made],
            env={**os.environ, "TRITON_INTERPRET": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise ExportError(f"the plan for sm_{arch} does not run: {last[0]}")
        result: NDArray[Any] = np.load(made, allow_pickle=False)
        return result


def interpreted(path: Path, arch: int, image: NDArray[Any]) -> NDArray[Any]:
    """`picture`, in this process, whose interpreter is on."""
    spec, plan, _ = read_header(path)
    program, dtype = plan.programs[arch], DTYPES[plan.precision]
    weights = {
        name: value.to(dtype) if value.dtype == torch.bfloat16 else value
        for name, value in load_file(path).items()
        if value.dtype != torch.uint8
    }
    n, h, w, channels = image.shape
    values = program.values(n, h, w, PROCESSORS)
    samples = torch.uint8 if image.dtype == np.uint8 else torch.float32
    buffers = _buffers(program, values, dtype, samples)
    buffers["image"].copy_(torch.from_numpy(image.reshape(-1)))
    for call in program.calls("u8" if samples == torch.uint8 else "fp32", values):
        _launch(call, {**buffers, **weights})
    if buffers["not_finite"].item():
        raise WeightsError("the output is not finite")
    large = buffers["picture"].view(n, spec.scale * h, spec.scale * w, channels)
    result: NDArray[Any] = large.numpy()
    return result


def _buffers(
    program: Program, values: dict[str, int], dtype: torch.dtype, samples: torch.dtype
) -> dict[str, Tensor]:
    """Full of NaN, so that what is read without having been written shows."""
    kinds = {"sample": samples, "feature": dtype, "flag": torch.int32}
    elements = program.elements(values)
    made = {}
    for name, kind, _ in program.buffers:
        fill = float("nan") if kinds[kind].is_floating_point else 0
        made[name] = torch.full((elements[name],), fill, dtype=kinds[kind])
    return made


def _launch(call: Call, memory: dict[str, Tensor]) -> None:
    module, name = call.kernel.source.split(".")
    if module not in MODULES:
        raise WeightsError(f"the plan names the kernel {call.kernel.source!r}, which there is not")
    function = getattr(import_module(f"imagen_fast.kernels.triton.{module}"), name)
    arguments: dict[str, Any] = {}
    for (where, value), (parameter, *_) in zip(call.arguments, call.kernel.parameters, strict=True):
        arguments[parameter] = value if where is None else _from(memory[where].flatten(), value)
    function[call.grid](
        **arguments,
        **call.kernel.constants,
        num_warps=call.kernel.threads // 32,
        num_stages=call.kernel.num_stages,
        enable_fp_fusion=True,
    )


def _from(tensor: Tensor, offset: int) -> Tensor:
    """Nothing is left of a buffer without elements, whose address is passed all the same."""
    return tensor[offset:] if offset < len(tensor) else tensor


def main() -> None:
    """See above."""
    bundle, arch, given, made = sys.argv[1:]
    image = np.load(given, allow_pickle=False)
    np.save(made, interpreted(Path(bundle), int(arch), image))


if __name__ == "__main__":
    main()
