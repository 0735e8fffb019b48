"""A model made ready for a bundle: weights packed, launches planned, kernels compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError
from imagen_fast.models.build import build

from ..triton.device import DTYPES
from ..triton.packed import pack_generator
from .compiled import Code, compile_all, key_of
from .expression import tree_of
from .launch import Buffer, Weight
from .program import Program, program_of

# dtype, as safetensors writes it; shape; bytes.
Stored = tuple[str, tuple[int, ...], bytes]
STORED = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def made_ready(
    bundle: Bundle,
    precision: str,
    architectures: Sequence[int],
    told: Callable[[int, int], None] = lambda done, all_: None,
) -> tuple[dict[str, Any], dict[str, Stored]]:
    """The plan, as JSON types (see `imagen_fast.export.bundle_plan`), and the tensors by name.

    Raises:
        ExportError: a head is wider than the kernels take, or a kernel does not compile.
        WeightsError: the tensors do not fit the spec.
    """
    dtype = {name: kind for kind, name in DTYPES.items()}[precision]
    try:
        network: Any = build(bundle)
        weights = pack_generator(network, dtype, "cpu")
    except ValueError as error:
        raise ExportError(f"the kernels cannot run this model: {error}") from error
    programs = [program_of(weights, arch) for arch in architectures]
    codes = compile_all(programs, told)
    tensors = {name: _stored(value) for name, value in programs[0].weights.items()}
    plan: dict[str, Any] = {"precision": precision, "programs": {}}
    for program in programs:
        record, cubins = _record(program, codes)
        plan["programs"][str(program.arch)] = record
        tensors |= cubins
    return plan, tensors


def _stored(value: Tensor) -> Stored:
    data = value.detach().contiguous()
    return STORED[data.dtype], tuple(data.shape), data.view(torch.uint8).numpy().tobytes()


def _record(program: Program, codes: dict[str, Code]) -> tuple[dict[str, Any], dict[str, Stored]]:
    """A program as JSON types, and its kernels' code."""
    numbers: dict[str, int] = {}
    kernels: list[dict[str, Any]] = []
    launches: list[dict[str, Any]] = []
    cubins: dict[str, Stored] = {}
    for launch in program.launches:
        key = key_of(launch.variant, program.arch)
        if key not in numbers:
            numbers[key] = len(kernels)
            name = f"sm_{program.arch}.{len(kernels)}"
            kernels.append(_kernel(codes[key], name))
            cubins[name] = ("U8", (len(codes[key].cubin),), codes[key].cubin)
        launches.append(
            {
                "kernel": numbers[key],
                "grid": [tree_of(x) for x in launch.grid],
                "arguments": [
                    _argument(launch.arguments[name]) for name in launch.variant.signature
                ],
                "samples": launch.samples,
            }
        )
    record = {
        "sizes": [[name, tree_of(x)] for name, x in program.sizes.items()],
        "buffers": [[name, kind, tree_of(x)] for name, (kind, x) in program.buffers.items()],
        "kernels": kernels,
        "launches": launches,
    }
    return record, cubins


def _kernel(code: Code, cubin: str) -> dict[str, Any]:
    variant = code.variant
    return {
        "name": variant.name,
        "source": code.source,
        "constants": variant.constants,
        "num_stages": variant.num_stages,
        "cubin": cubin,
        "entry": code.entry,
        "threads": code.threads,
        "shared": code.shared,
        "global_scratch": code.global_scratch,
        "profile_scratch": code.profile_scratch,
        "parameters": [
            [name, kind, 16 if name in variant.divisible else 4 if kind[0] == "*" else 1]
            for name, kind in variant.signature.items()
        ],
    }


def _argument(argument: Any) -> list[Any]:
    if isinstance(argument, Buffer):
        return ["buffer", argument.name, tree_of(argument.offset)]
    if isinstance(argument, Weight):
        return ["weight", argument.name, argument.offset]
    return ["size", tree_of(argument)]
