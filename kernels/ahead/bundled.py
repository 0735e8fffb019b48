"""A model made ready for a bundle: weights packed, launches planned, kernels compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from imagen_fast.bundle import Bundle, Stored
from imagen_fast.errors import ExportError, OperationError
from imagen_fast.graph import Graph

from ..triton.launch import DTYPES, SAMPLES, Argument, Array, Launch
from ..triton.program import Program, Target, Weights, open_sizes, program_of
from ..triton.size import Size, tree_of
from .compiled import Code, compile_all, form_of, key_of

STORED = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def made_ready(
    bundle: Bundle,
    graph: Graph,
    precision: str,
    architectures: Sequence[int],
    told: Callable[[int, int], None] = lambda done, all_: None,
) -> tuple[dict[str, Any], dict[str, Stored]]:
    """The plan, as JSON types (see `imagen_fast.export.bundle_plan`), and the tensors by name.

    Args:
        graph: of the bundle's operations those that are computed.

    Raises:
        ExportError: there is no kernel for an operation, or one does not compile.
    """
    weights = Weights(bundle.tensors, precision, "cpu")

    def program(arch: int, samples: str) -> Program:
        return program_of(graph, weights, open_sizes(graph), Target(arch, Size("P"), samples))

    try:
        programs = {arch: [program(arch, x) for x in SAMPLES] for arch in architectures}
    except OperationError as error:
        raise ExportError(f"the kernels cannot run this model: {error}") from error
    launches = [(y, arch) for arch, both in programs.items() for x in both for y in x.launches]
    codes = compile_all(launches, told)
    tensors = {name: _stored(value) for name, value in weights.packed.items()}
    plan: dict[str, Any] = {"precision": precision, "programs": {}}
    for arch, both in programs.items():
        record, cubins = _record(graph, both, arch, codes)
        plan["programs"][str(arch)] = record
        tensors |= cubins
    return plan, tensors


def _stored(value: Tensor) -> Stored:
    return STORED[value.dtype], tuple(value.shape), value.view(torch.uint8).numpy().tobytes()


def _record(
    graph: Graph, programs: list[Program], arch: int, codes: dict[str, Code]
) -> tuple[dict[str, Any], dict[str, Stored]]:
    """The programs for bytes and for floats as JSON types, and their kernels' code."""
    numbers: dict[str, int] = {}
    kernels: list[dict[str, Any]] = []
    cubins: dict[str, Stored] = {}

    def launched(launch: Launch) -> list[Any]:
        key = key_of(launch, arch)
        if key not in numbers:
            numbers[key] = len(kernels)
            name = f"sm_{arch}.{len(kernels)}"
            kernels.append(_kernel(launch, codes[key], name, arch))
            cubins[name] = ("U8", (len(codes[key].cubin),), codes[key].cubin)
        grid = [tree_of(x) for x in launch.grid]
        return [numbers[key], grid, [_argument(x) for x in launch.passed.values()]]

    buffers, others = (
        [[kind, tree_of(x.elements)] for kind, x in zip(_kinds(y, graph), y.buffers, strict=True)]
        for y in programs
    )
    assert buffers == others
    launches = {
        samples: [launched(x) for x in program.launches]
        for samples, program in zip(SAMPLES, programs, strict=True)
    }
    return {"buffers": buffers, "kernels": kernels, "launches": launches}, cubins


def _kinds(program: Program, graph: Graph) -> list[str]:
    ends = [graph.inputs[x] for x in program.inputs] + [graph.outputs[x] for x in program.outputs]
    own = ["sample" if x.picture else "number" for x in ends]
    work = (program.buffers[number].kind for number in program.work)
    return [*own, "flag", *("number" if kind == "fp32" else "feature" for kind in work)]


def _kernel(launch: Launch, code: Code, cubin: str, arch: int) -> dict[str, Any]:
    form = form_of(launch, arch)
    return {
        "name": launch.name,
        "source": form["source"],
        "constants": form["constants"],
        "num_stages": launch.num_stages,
        "cubin": cubin,
        "entry": code.entry,
        "threads": code.threads,
        "shared": code.shared,
        "scratch": list(code.scratch),
        "parameters": [
            [name, launch.signature[name], 16 if name in launch.divisible else _item(x)]
            for name, x in launch.passed.items()
        ],
    }


def _item(x: Argument) -> int:
    return DTYPES[x.kind].itemsize if isinstance(x, Array) else 1


def _argument(x: Argument) -> Any:
    return [x.of, x.offset] if isinstance(x, Array) else tree_of(x)  # type: ignore[arg-type]
