"""What a row of the table of kinds is, and what its attributes may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagen_fast.errors import SpecError
from imagen_fast.graph.operation import MAX_CHANNELS, MAX_READ, Attribute, Operation, Value

Read = Sequence[Value | None]  # what an operation reads; None where an input is left out
Settings = Mapping[str, Any]
Shapes = dict[str, tuple[int, ...]]
Interval = tuple[int, int]  # first and last pixel along an axis
EVERYTHING: Interval = (-(1 << 40), 1 << 40)


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    """A finite number."""

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return abs(value) < 1e30  # so NaN is none; whole numbers may be too large for a float

    def __str__(self) -> str:
        return "a number"


@dataclass(frozen=True)
class Word:
    """One of these words."""

    of: tuple[str, ...]

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        return value in self.of

    def __str__(self) -> str:
        return f"one of {', '.join(self.of)}"


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        return type(value) is bool

    def __str__(self) -> str:
        return "true or false"


Range = tuple[Whole | Number | Word | Flag, Attribute | None]  # and the default


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        inputs: names of what it reads; one that ends in "?" may be left out, one that ends in "*"
            stands for any number, the last of all.
        attributes: name → (range, default); a default of None must be given.
        output: attributes and values read → channels and grid of the result.
        tensors: attributes, values read and the result → role → shape. A role that ends in "?" may
            be left out.
        reads: attributes, values read, pixels of the result (low, high), and the place of an
            input → the pixels of this input that they depend on.
        flops: attributes, values read and the result → operations for a pixel of the result, two
            for a multiplication and its sum.
        same: inputs that are of the result's channels and grid.
    """

    inputs: tuple[str, ...]
    attributes: Mapping[str, Range]
    output: Callable[[Settings, Read], Value]
    tensors: Callable[[Settings, Read, Value], Shapes] = lambda a, x, y: {}
    reads: Callable[[Settings, Read, Interval, int], Interval] = lambda a, x, pixels, place: pixels
    flops: Callable[[Settings, Read, Value], float] = lambda a, x, y: y.channels
    same: tuple[str, ...] = ("added",)

    def settings(self, operation: Operation) -> dict[str, Any]:
        """The operation's attributes, defaults included. Raises SpecError: out of range."""
        if unknown := operation.attributes.keys() - self.attributes.keys():
            raise SpecError(f"unknown attribute {sorted(unknown)[0]!r}")
        settings = {}
        for name, (allowed, default) in self.attributes.items():
            value = operation.attributes.get(name, default)
            if value is None or not allowed.check(value):
                raise SpecError(f"{name} is {value!r}; expected {allowed}")
            settings[name] = value
        return settings

    def roles(self, count: int) -> list[str]:
        """What each of an operation's inputs is."""
        names = list(self.inputs)
        if names[-1].endswith("*"):
            last = names.pop()
            names += [last] * (count - len(names))
        return names

    def value(self, operation: Operation, read: Read) -> Value:
        """Channels and grid of the result. Raises SpecError: inputs do not fit."""
        settings = self.settings(operation)
        roles = self.roles(len(read))
        needed = sum(1 for role in roles if not role.endswith(("?", "*")))
        if not needed <= len(read) <= min(len(roles), MAX_READ):
            raise SpecError(f"{len(read)} inputs; expected {', '.join(self.inputs)}")
        for role, x in zip(roles, read, strict=False):
            if x is None and not role.endswith("?"):
                raise SpecError(f"its input {role!r} is left out")
        result = self.output(settings, read)
        if not 1 <= result.channels <= MAX_CHANNELS:
            raise SpecError(f"{result.channels} channels; expected 1 to {MAX_CHANNELS}")
        for role, x in zip(roles, read, strict=False):
            if x is not None and role.rstrip("?*") in self.same and x != result:
                raise SpecError(f"its input {role!r} is {x}; expected {result}")
        return result

    def shapes(self, operation: Operation, read: Read, result: Value) -> Shapes:
        """The shapes of the operation's tensors by role. Raises SpecError: other roles."""
        shapes = self.tensors(self.settings(operation), read, result)
        wanted = {role.rstrip("?"): shape for role, shape in shapes.items()}
        optional = {role[:-1] for role in shapes if role.endswith("?")}
        if unknown := operation.tensors.keys() - wanted.keys():
            raise SpecError(f"operation {operation.output!r} has no tensor {sorted(unknown)[0]!r}")
        if missing := wanted.keys() - operation.tensors.keys() - optional:
            raise SpecError(f"operation {operation.output!r} lacks tensor {sorted(missing)[0]!r}")
        return {role: shape for role, shape in wanted.items() if role in operation.tensors}


CHANNELS: Range = (Whole(1, MAX_CHANNELS), None)
FACTOR: Range = (Whole(1, 16), None)


def first(x: Read) -> Value:
    """What an operation reads first, which is never left out."""
    assert x[0] is not None  # checked by Kind.value
    return x[0]


def second(x: Read) -> Value | None:
    """What it reads after that, if it does."""
    return x[1] if len(x) > 1 else None
