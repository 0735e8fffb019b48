"""`Graph`: a network as a list of operations, with named inputs and outputs.

A graph is frozen, checked when it is made, and goes to JSON and back unchanged. It says what is
computed; weights are named in it and live elsewhere, and no engine needs to know which
architecture it came from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from imagen_fast.errors import SpecError
from imagen_fast.graph.grid import MAX_FACTOR, MAX_HALVINGS, Grid
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.operation import MAX_CHANNELS, Operation, Value

MAX_OPERATIONS = 4096
MAX_INPUTS = 64  # of a graph
PREVIOUS = "previous"  # input and output: what a frame of a video hands on to the next


@dataclass(frozen=True)
class Input:
    """An array that is handed in.

    Attributes:
        channels: C of (N, H, W, C).
        picture: samples are in [0, 1], or bytes; otherwise any numbers.
        grid: of another input's size; None: an input of a size of its own.
        default: the value that stands for it where it is left out; "" with `optional`: nothing
            does, and operations that read it work as if it were not among their inputs.
        optional: may be left out.
    """

    channels: int
    picture: bool = False
    grid: Grid | None = None
    default: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Output:
    """An array that is handed out: the value's name, and whether it is clamped to [0, 1]."""

    value: str
    picture: bool = False


@dataclass(frozen=True)
class Graph:
    """Operations in an order in which they can run.

    Attributes:
        inputs, outputs: by name. The first of each is what a program that knows one picture in and
            one out works with.
        operations: each reads inputs and the values of those before it.

    Raises:
        SpecError: a name is unknown, given twice or not used; a value's channels or grid do not fit
            the operation that reads it; an attribute is out of its range.
    """

    inputs: Mapping[str, Input]
    operations: tuple[Operation, ...]
    outputs: Mapping[str, Output]

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if not self.inputs or not self.outputs:
            raise SpecError("a graph needs inputs and outputs")
        for what, count, most in (
            ("inputs", len(self.inputs), MAX_INPUTS),
            ("operations", len(self.operations), MAX_OPERATIONS),
            ("outputs", len(self.outputs), MAX_OPERATIONS),
        ):
            if count > most:
                raise SpecError(f"{count} {what}; expected {most} at most")
        for name, output in self.outputs.items():
            if output.value not in self.values:
                raise SpecError(f"output {name!r} is {output.value!r}, which no operation gives")
            if self.values[output.value].grid.around % 2:
                raise SpecError(f"output {name!r} has pixels that lie between an input's")
            given = self.inputs.get(output.value)
            if given is not None and given.optional and not given.default:
                raise SpecError(f"output {name!r} is an input that may be left out")
        _ = self.tensors  # refuses roles and shapes that do not fit

    def __hash__(self) -> int:
        return hash((tuple(self.inputs), self.operations, tuple(self.outputs)))

    @cached_property
    def values(self) -> Mapping[str, Value]:
        """Every value by name, inputs included."""
        values = {name: self._input(name, x) for name, x in self.inputs.items()}
        waiting = {name: x.default for name, x in self.inputs.items() if x.default}
        absent = {name for name, x in self.inputs.items() if x.optional and not x.default}
        for operation in self.operations:
            where = f"operation {operation.output!r} ({operation.kind})"
            kind = KINDS.get(operation.kind)
            if kind is None:
                raise SpecError(f"{where}: unknown kind; expected one of {', '.join(KINDS)}")
            if not operation.output or operation.output in values:
                raise SpecError(f"{where}: its name is given twice, or empty")
            try:
                read = [values[name] if name else None for name in operation.inputs]
                if late := [
                    x for x in operation.inputs if waiting.get(x, "") not in values | {"": 0}
                ]:
                    raise SpecError(f"reads {late[0]!r} before its default is computed")
                value = values[operation.output] = kind.value(operation, read)
                if not absent.isdisjoint(operation.inputs):
                    names = ["" if name in absent else name for name in operation.inputs]
                    less = kind.value(operation, [values[name] if name else None for name in names])
                    if less != value:
                        raise SpecError("it depends on whether an input is left out")
            except KeyError as error:
                raise SpecError(f"{where}: reads {error.args[0]!r}, which is not there") from None
            except SpecError as error:
                raise SpecError(f"{where}: {error}") from None
        for name, default in waiting.items():
            if default not in values or values[default] != values[name]:
                raise SpecError(f"input {name!r}: its default {default!r} is no such value")
            if default in self.inputs and self.inputs[default].optional:
                raise SpecError(f"input {name!r}: its default {default!r} may be left out itself")
        return MappingProxyType(values)

    def _input(self, name: str, x: Input) -> Value:
        if not name or type(x.channels) is not int or not 1 <= x.channels <= MAX_CHANNELS:
            raise SpecError(f"input {name!r} has {x.channels!r} channels")
        if x.default and not x.optional:
            raise SpecError(f"input {name!r} has a default and is not optional")
        if x.grid is None:
            return Value(x.channels, Grid(name))
        base = self.inputs.get(x.grid.of)
        if base is None or base.grid is not None or base.optional:
            raise SpecError(f"input {name!r} is on the grid of {x.grid.of!r}, which has none")
        return Value(x.channels, x.grid)

    @cached_property
    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """Every tensor's shape, by name.

        Raises:
            SpecError: a name stands for two shapes.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for operation in self.operations:
            read = [self.values[name] if name else None for name in operation.inputs]
            kind = KINDS[operation.kind]
            for role, shape in kind.shapes(operation, read, self.values[operation.output]).items():
                name = operation.tensors[role]
                if shapes.setdefault(name, shape) != shape:
                    raise SpecError(f"tensor {name!r} is both {shapes[name]} and {shape}")
        return MappingProxyType(shapes)

    @property
    def scale(self) -> int:
        """By how much the first output is larger than the first input; 0 if it is no multiple."""
        grid = self.values[next(iter(self.outputs.values())).value].grid
        whole = grid.of == next(iter(self.inputs)) and not grid.halvings and not grid.around
        return grid.factor if whole else 0

    @property
    def recurrent(self) -> bool:
        """Whether it computes frames of a video, each of which hands something on to the next."""
        return PREVIOUS in self.inputs and PREVIOUS in self.outputs

    def given(self, names: Iterable[str]) -> Graph:
        """The graph for runs that hand in these inputs of the optional ones, and no others."""
        names = set(names)
        graph = self.without(n for n, x in self.inputs.items() if x.optional and n not in names)
        needed = {n: replace(x, default="", optional=False) for n, x in graph.inputs.items()}
        return Graph(needed, graph.operations, graph.outputs)

    def without(self, names: Iterable[str]) -> Graph:
        """The graph with these optional inputs left out: their defaults stand in their place."""
        left_out = {name: self.inputs[name].default for name in names}
        return Graph(
            {name: x for name, x in self.inputs.items() if name not in left_out},
            tuple(
                Operation(
                    x.kind,
                    x.output,
                    tuple(left_out.get(name, name) for name in x.inputs),
                    x.tensors,
                    x.attributes,
                )
                for x in self.operations
            ),
            {
                name: replace(x, value=left_out.get(x.value, x.value))
                for name, x in self.outputs.items()
            },
        )

    def to_json(self) -> str:
        """The graph as one line of JSON, stable across runs."""
        return json.dumps(
            {
                "inputs": [_input_json(name, x) for name, x in self.inputs.items()],
                "operations": [_operation_json(x) for x in self.operations],
                "outputs": [
                    {"name": name, "value": x.value, "picture": x.picture}
                    for name, x in self.outputs.items()
                ],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """The graph that `to_json` wrote.

        Raises:
            SpecError: not JSON, a key is missing, unknown or of a wrong type, or no such graph.
        """
        try:
            data = json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
            json.dumps(data, ensure_ascii=False).encode()  # halves of characters are none
        except (ValueError, RecursionError) as error:
            raise SpecError(f"the model's graph is not JSON: {error}") from error
        top = _fields(data, "graph", inputs=list, operations=list, outputs=list)
        return cls(
            _by_name("input", [_read_input(x) for x in top["inputs"]]),
            tuple(_read_operation(x) for x in top["operations"]),
            _by_name("output", [_read_output(x) for x in top["outputs"]]),
        )


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(fields := dict(pairs)) != len(pairs):
        raise ValueError("a key is given twice")
    return fields


def _input_json(name: str, x: Input) -> dict[str, Any]:
    grid = [] if x.grid is None else [x.grid.of, x.grid.halvings, x.grid.factor]
    return {
        "name": name,
        "channels": x.channels,
        "picture": x.picture,
        "grid": grid,
        "default": x.default,
        "optional": x.optional,
    }


def _operation_json(x: Operation) -> dict[str, Any]:
    return {
        "kind": x.kind,
        "output": x.output,
        "inputs": list(x.inputs),
        "tensors": dict(x.tensors),
        "attributes": dict(x.attributes),
    }


def _read_input(data: object) -> tuple[str, Input]:
    x = _fields(
        data, "input", name=str, channels=int, picture=bool, grid=list, default=str, optional=bool
    )
    grid = None
    if x["grid"]:
        if [type(part) for part in x["grid"]] != [str, int, int]:
            raise SpecError(f"input {x['name']!r} has the grid {x['grid']!r}")
        grid = Grid(*x["grid"])
        if not 0 <= grid.halvings <= MAX_HALVINGS or not 1 <= grid.factor <= MAX_FACTOR:
            raise SpecError(f"input {x['name']!r} has the grid {x['grid']!r}")
    return x["name"], Input(x["channels"], x["picture"], grid, x["default"], x["optional"])


def _read_output(data: object) -> tuple[str, Output]:
    x = _fields(data, "output", name=str, value=str, picture=bool)
    return x["name"], Output(x["value"], x["picture"])


def _read_operation(data: object) -> Operation:
    x = _fields(data, "operation", kind=str, output=str, inputs=list, tensors=dict, attributes=dict)
    words = [*x["inputs"], *x["tensors"].values()]
    if not all(isinstance(word, str) for word in words):
        raise SpecError(f"operation {x['output']!r} names something that is no text")
    for name, value in x["attributes"].items():
        if not isinstance(value, (int, float, str)) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise SpecError(f"operation {x['output']!r}: {name} is {value!r}")
    return Operation(x["kind"], x["output"], tuple(x["inputs"]), x["tensors"], x["attributes"])


def _by_name(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) != len(pairs):
        raise SpecError(f"two {what}s have one name")
    return named


def _fields(data: object, what: str, **types: type) -> dict[str, Any]:
    """`data` as an object with exactly these keys, of these types."""
    if not isinstance(data, dict) or data.keys() != types.keys():
        raise SpecError(f"{what} in the model's graph: expected exactly the keys {list(types)}")
    for key, kind in types.items():
        if type(data[key]) is not kind:
            raise SpecError(f"{what}'s {key} is {data[key]!r}; expected {kind.__name__}")
    return data
