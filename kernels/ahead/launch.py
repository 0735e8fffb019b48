"""One launch of a kernel as data: grid and arguments as expressions of the run's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..triton.variant import Variant
from .expression import Size


@dataclass(frozen=True)
class Buffer:
    """Memory of a run, from an element on.

    Attributes:
        name: as in `Program.buffers`.
        offset: elements from the buffer's start.
    """

    name: str
    offset: Size | int = 0

    def __add__(self, elements: Size | int) -> Buffer:
        return Buffer(self.name, elements + self.offset)


@dataclass(frozen=True)
class Weight:
    """A packed tensor, from an element on."""

    name: str
    offset: int = 0

    def __add__(self, elements: int) -> Weight:
        return Weight(self.name, self.offset + elements)


Argument = Buffer | Weight | Size | int


@dataclass(frozen=True)
class Launch:
    """A kernel with what it is given.

    Attributes:
        variant: the compiled form.
        grid: programs along one, two or three axes.
        arguments: by the kernel's names, all that the form takes at run time.
        samples: "u8" or "fp32" if only pictures of these samples take this launch, else "".
    """

    variant: Variant
    grid: tuple[Size | int, ...]
    arguments: Mapping[str, Argument]
    samples: str = field(default="")

    def __post_init__(self) -> None:
        if self.arguments.keys() != self.variant.signature.keys():
            wrong = sorted(self.arguments.keys() ^ self.variant.signature.keys())
            raise ValueError(f"{self.variant.name}: arguments {wrong} are missing or unknown")
