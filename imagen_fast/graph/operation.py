"""`Operation`, a step of a graph, and `Value`, what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from imagen_fast.graph.grid import Grid

MAX_CHANNELS = 4096
MAX_READ = 16  # of an operation

Attribute = int | float | str | bool


@dataclass(frozen=True)
class Value:
    """What an operation gives or an input is: (N, C, H, W) on a grid."""

    channels: int
    grid: Grid


@dataclass(frozen=True)
class Operation:
    """One step, which reads values and gives one.

    Attributes:
        kind: a name of `kinds.KINDS`, where inputs, tensors and attributes are explained.
        output: the name of the value that it gives.
        inputs: names of the values that it reads, "" for one that is left out.
        tensors: the names of its weights, by their role.
        attributes: numbers, words and flags, by name; what is left out has the kind's default.
    """

    kind: str
    output: str
    inputs: tuple[str, ...]
    tensors: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("tensors", "attributes"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __hash__(self) -> int:
        return hash((self.kind, self.output, self.inputs))
