"""The plan in a bundle with GPU kernels: what is launched for pictures of any size, as JSON.

    {"precision": "bf16", "programs": {"90": {
        "buffers":  [[kind, expression], …]      elements of a kind below; the first are the
                                                 graph's inputs, its outputs and the flag
        "kernels":  [{…}, …]                     see `Kernel`
        "launches": {"u8": [launch, …], "fp32": [launch, …]}
    }, …}}

Of a buffer's elements a "sample" is a picture's, a byte or a float; a "number" a float of anything
else that comes or goes, or between two launches; a "feature" has two bytes, and the "flag" four.
There are launches for pictures in bytes and in floats. A launch is [number of its kernel,
[expression of each axis of the grid], [argument, …]], arguments in the order of the kernel's
parameters: for an address [number of a buffer or name of a tensor, elements from its start], else
an expression (`kernels.triton.size`) of N, the number of images, H0 and W0, the first input's
height and width, H1 and W1, the second's, and so on, and P, the GPU's multiprocessors. Two
addresses of scratch memory follow.

This reads what `imagen-fast doctor` and verification ask for; the runtime, which runs it, checks
all of it (runtime/cuda_plan.cc).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from imagen_fast.kernels.triton.size import evaluate

from imagen_fast.errors import WeightsError

PRECISIONS = ("bf16", "fp16")


@dataclass(frozen=True)
class Kernel:
    """One kernel of one architecture.

    Attributes:
        name, source, constants, num_stages: what it was compiled from.
        cubin: name of the tensor with its code.
        entry: name of the function in it.
        threads: of a block.
        shared: bytes of dynamic shared memory of a block.
        scratch: bytes of global and of profile scratch memory that each block needs.
        parameters: name, type ("*bf16", "i32", …) and what an address must be a multiple of.
    """

    name: str
    source: str
    constants: dict[str, Any]
    num_stages: int
    cubin: str
    entry: str
    threads: int
    shared: int
    scratch: list[int]
    parameters: list[list[Any]]


@dataclass(frozen=True)
class Call:
    """One launch for one shape.

    Attributes:
        grid: blocks along three axes.
        arguments: (buffer or tensor, elements from its start), or (None, number), in order.
    """

    kernel: Kernel
    grid: tuple[int, ...]
    arguments: tuple[tuple[int | str | None, int], ...]


@dataclass(frozen=True)
class Program:
    """A plan's part for one architecture; see above for what the lists hold."""

    buffers: list[list[Any]]
    kernels: list[Kernel]
    launches: dict[str, list[list[Any]]]

    @property
    def flag(self) -> int:
        """The number of the flag's buffer: those of inputs and outputs lie before it."""
        return [kind for kind, _ in self.buffers].index("flag")

    def elements(self, values: Mapping[str, int]) -> list[int]:
        """Of every buffer, names of expressions standing for `values`."""
        return [evaluate(tree, values) for _, tree in self.buffers]

    def calls(self, samples: str, values: Mapping[str, int]) -> list[Call]:
        """What is launched for pictures of `samples`. Raises WeightsError: no such expression."""
        return [
            Call(
                self.kernels[number],
                (*(evaluate(tree, values) for tree in grid), 1, 1)[:3],
                tuple(
                    (x[0], x[1]) if kind[0] == "*" else (None, evaluate(x, values))
                    for x, (_, kind, _) in zip(
                        arguments, self.kernels[number].parameters, strict=True
                    )
                ),
            )
            for number, grid, arguments in self.launches[samples]
        ]


@dataclass(frozen=True)
class BundlePlan:
    """A bundle's plan: a program for each architecture, as 90 for sm_90."""

    precision: str
    programs: dict[int, Program]


def parse(text: str) -> BundlePlan:
    """The plan in a bundle's metadata.

    Raises:
        WeightsError: it is damaged, or of another version.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the plan is not valid JSON ({error})") from error
    plan = _object(data, ("precision", "programs"), "the plan")
    programs = plan["programs"]
    if plan["precision"] not in PRECISIONS or not isinstance(programs, dict) or not programs:
        raise WeightsError("the plan has no programs, or its precision is unknown")
    if wrong := [x for x in programs if not (x.isdecimal() and x.isascii() and len(x) < 5)]:
        raise WeightsError(f"the plan is for the architecture {wrong[0]!r}; expected a number")
    return BundlePlan(plan["precision"], {int(x): _program(data) for x, data in programs.items()})


def _program(data: object) -> Program:
    found = _object(data, tuple(x.name for x in fields(Program)), "a program")
    if not isinstance(found["kernels"], list):
        raise WeightsError("a program's kernels are no list")
    return Program(found["buffers"], [_kernel(x) for x in found["kernels"]], found["launches"])


def _kernel(data: object) -> Kernel:
    found = Kernel(**_object(data, tuple(x.name for x in fields(Kernel)), "a kernel"))
    if type(found.shared) is not int:
        raise WeightsError("a kernel's shared memory is no number")
    return found


def _object(data: object, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(data, dict) or data.keys() != set(keys):
        raise WeightsError(f"{what} is no object with exactly {', '.join(keys)}")
    return data
