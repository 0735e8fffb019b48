"""The plan in a bundle with GPU kernels: what is launched for pictures of any size, as JSON.

    {"precision": "bf16", "programs": {"90": {
        "sizes":    [[name, expression], …]            beside N, H, W and P; see ahead.expression
        "buffers":  [[name, kind, expression], …]      elements of "sample", "feature" or "flag"
        "kernels":  [{…}, …]                           see `Kernel`
        "launches": [{"kernel": 0, "grid": […], "samples": "", "arguments": [
            ["buffer", name, expression], ["weight", name, integer], ["size", expression], …]}, …]
    }, …}}

A launch with `samples` "u8" or "fp32" is for pictures of these. Arguments are in the order of the
kernel's parameters; buffers and weights are passed as addresses, so many elements from their
start. Two addresses of scratch memory follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from imagen_fast.kernels.ahead.expression import evaluate

from imagen_fast.errors import WeightsError

PRECISIONS = ("bf16", "fp16", "fp32")
SAMPLES = ("u8", "fp32")
KINDS = ("sample", "feature", "flag")
GIVEN = {"image": "sample", "picture": "sample", "not_finite": "flag"}  # what every program has
MOST_THREADS = 1024
MOST_NUMBER = 2**31 - 1
MOST_GRID = (2**31 - 1, 65535, 65535)


@dataclass(frozen=True)
class Kernel:
    """One kernel of one architecture.

    Attributes:
        name, source, constants, num_stages: what it was compiled from.
        cubin: name of the tensor with its code.
        entry: name of the function in it.
        threads: of a block.
        shared: bytes of dynamic shared memory of a block.
        global_scratch, profile_scratch: bytes of scratch memory that each block needs.
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
    global_scratch: int
    profile_scratch: int
    parameters: list[list[Any]]


@dataclass(frozen=True)
class Call:
    """One launch for one shape.

    Attributes:
        grid: blocks along three axes.
        arguments: (buffer or weight, elements from its start), or (None, number), in order.
    """

    kernel: Kernel
    grid: tuple[int, int, int]
    arguments: tuple[tuple[str | None, int], ...]


@dataclass(frozen=True)
class Program:
    """A plan's part for one architecture; see above for what the lists hold."""

    sizes: list[list[Any]]
    buffers: list[list[Any]]
    kernels: list[Kernel]
    launches: list[dict[str, Any]]

    def values(self, n: int, h: int, w: int, processors: int) -> dict[str, int]:
        """All names of expressions for pictures (N, H, W) on a GPU of so many multiprocessors."""
        found = {"N": n, "H": h, "W": w, "P": processors}
        for name, tree in self.sizes:
            found[name] = evaluate(tree, found)
        return found

    def elements(self, values: Mapping[str, int]) -> dict[str, int]:
        """Of every buffer."""
        return {name: evaluate(tree, values) for name, _, tree in self.buffers}

    def calls(self, samples: str, values: Mapping[str, int]) -> list[Call]:
        """What is launched for pictures of `samples`.

        Raises:
            WeightsError: an expression goes wrong, or a grid or number is beyond a GPU's.
        """
        return [self._call(x, values) for x in self.launches if x["samples"] in ("", samples)]

    def _call(self, launch: Mapping[str, Any], values: Mapping[str, int]) -> Call:
        kernel = self.kernels[launch["kernel"]]
        grid = [evaluate(tree, values) for tree in launch["grid"]] + [1, 1]
        for blocks, most in zip(grid, MOST_GRID, strict=False):
            if not 1 <= blocks <= most:
                raise WeightsError(f"{kernel.name} would have a grid of {blocks}; expected {most}")
        arguments: list[tuple[str | None, int]] = []
        for argument in launch["arguments"]:
            value = evaluate(argument[-1], values)
            if argument[0] == "size" and value > MOST_NUMBER:
                raise WeightsError(f"{kernel.name} would be given {value}; expected 32 bits")
            arguments.append((None if argument[0] == "size" else argument[1], value))
        return Call(kernel, (grid[0], grid[1], grid[2]), tuple(arguments))


@dataclass(frozen=True)
class Plan:
    """A bundle's plan: a program for each architecture, as 90 for sm_90."""

    precision: str
    programs: dict[int, Program]


def parse(text: str) -> Plan:
    """The plan in a bundle's metadata.

    Raises:
        WeightsError: it is damaged, or of another version.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"the plan is not valid JSON ({error})") from error
    plan = _object(data, ("precision", "programs"), "the plan")
    if plan["precision"] not in PRECISIONS:
        raise WeightsError(f"the plan's precision is {plan['precision']!r}")
    programs = plan["programs"]
    if not isinstance(programs, dict) or not programs:
        raise WeightsError("the plan has no programs")
    if wrong := [x for x in programs if not (x.isdecimal() and x.isascii() and len(x) < 5)]:
        raise WeightsError(f"the plan is for the architecture {wrong[0]!r}; expected a number")
    return Plan(plan["precision"], {int(x): _program(data) for x, data in programs.items()})


def _program(data: object) -> Program:
    found = _object(data, tuple(x.name for x in fields(Program)), "a program")
    for key, width in (("sizes", 2), ("buffers", 3)):
        _rows(found[key], width, key)
    kinds = {name: kind for name, kind, _ in found["buffers"]}
    if set(kinds.values()) - set(KINDS) or not kinds.items() >= GIVEN.items():
        raise WeightsError("a program's buffers are of unknown kinds, or picture and flag are not")
    if not isinstance(found["kernels"], list) or not isinstance(found["launches"], list):
        raise WeightsError("a program's kernels or launches are no list")
    kernels = [_kernel(x) for x in found["kernels"]]
    for launch in found["launches"]:
        _check_launch(launch, kernels, kinds)
    return Program(found["sizes"], found["buffers"], kernels, found["launches"])


def _kernel(data: object) -> Kernel:
    found = Kernel(**_object(data, tuple(x.name for x in fields(Kernel)), "a kernel"))
    texts = (found.name, found.source, found.cubin, found.entry)
    numbers = (found.shared, found.global_scratch, found.profile_scratch, found.num_stages)
    rows = found.parameters
    if not all(isinstance(x, str) for x in texts) or not isinstance(found.constants, dict):
        raise WeightsError("a kernel's names are no text, or its constants no object")
    if not all(type(x) is int and 0 <= x <= MOST_NUMBER for x in numbers):
        raise WeightsError(f"kernel {found.name}: a size is no number from 0 on")
    if type(found.threads) is not int or not 1 <= found.threads <= MOST_THREADS:
        raise WeightsError(f"kernel {found.name} has {found.threads!r} threads")
    _rows(rows, 3, "parameters")
    if not all(isinstance(kind, str) and (kind == "i32" or kind[:1] == "*") for _, kind, _ in rows):
        raise WeightsError(f"kernel {found.name} has parameters of unknown types")
    if not all(type(x) is int and x in (1, 2, 4, 8, 16) for *_, x in rows):
        raise WeightsError(f"kernel {found.name} has parameters of unknown alignment")
    return found


def _check_launch(data: object, kernels: list[Kernel], buffers: Mapping[str, str]) -> None:
    launch = _object(data, ("kernel", "grid", "arguments", "samples"), "a launch")
    number, arguments = launch["kernel"], launch["arguments"]
    if type(number) is not int or not 0 <= number < len(kernels):
        raise WeightsError(f"a launch is of kernel {number!r}; expected one of {len(kernels)}")
    if launch["samples"] not in ("", *SAMPLES):
        raise WeightsError(f"a launch is for samples {launch['samples']!r}")
    if not isinstance(launch["grid"], list) or not 1 <= len(launch["grid"]) <= 3:
        raise WeightsError("a launch's grid has not one to three axes")
    kernel = kernels[number]
    if not isinstance(arguments, list) or len(arguments) != len(kernel.parameters):
        raise WeightsError(
            f"a launch of {kernel.name} has not its {len(kernel.parameters)} arguments"
        )
    for argument, (name, kind, _) in zip(arguments, kernel.parameters, strict=True):
        pointer = kind[0] == "*"
        forms = ("buffer", "weight") if pointer else ("size",)
        width = 3 if pointer else 2
        if not isinstance(argument, list) or len(argument) != width or argument[0] not in forms:
            raise WeightsError(f"{kernel.name}: the argument {name} is {str(argument)[:80]}")
        if argument[0] == "buffer" and argument[1] not in buffers:
            raise WeightsError(f"{kernel.name}: there is no buffer {argument[1]!r}")


def _object(data: object, keys: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(data, dict) or data.keys() != set(keys):
        raise WeightsError(f"{what} is no object with exactly {', '.join(keys)}")
    return data


def _rows(data: object, width: int, what: str) -> None:
    """A list of lists that begin with a text, none of them twice."""
    if not isinstance(data, list) or not all(
        isinstance(row, list) and len(row) == width and isinstance(row[0], str) for row in data
    ):
        raise WeightsError(f"{what} is no list of {width} values each")
    names = [row[0] for row in data]
    if len(set(names)) != len(names):
        raise WeightsError(f"{what} has a name twice")
