"""One launch of a kernel as data, with sizes that are numbers or expressions.

With numbers it is run; with expressions a bundle stores it, and compiled code runs for any sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from .size import Number

# Triton's type of an element → PyTorch's.
DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "u8": torch.uint8,
    "i32": torch.int32,
}
SAMPLES = ("u8", "fp32")  # of pictures and other arrays that go in and out


@dataclass(frozen=True)
class Array:
    """Memory that a kernel reads or writes, from an element on.

    Attributes:
        of: the number of a program's buffer, or the name of a packed tensor.
        kind: of its elements, a name of `DTYPES`.
        shape: (N, H, W, C) of feature maps and pictures; () of packed tensors.
        offset: elements from the start.
    """

    of: int | str
    kind: str
    shape: tuple[Number, ...] = ()
    offset: int = 0

    def __add__(self, elements: int) -> Array:
        return replace(self, offset=self.offset + elements)

    @property
    def aligned(self) -> bool:
        """Whether the address is a multiple of 16 bytes, as the start is."""
        return self.offset * DTYPES[self.kind].itemsize % 16 == 0

    @property
    def pixels(self) -> Number:
        """Of all images."""
        n, h, w, _ = self.shape
        return n * h * w

    @property
    def channels(self) -> int:
        """C."""
        channels = self.shape[3]
        assert isinstance(channels, int)
        return channels


Argument = Array | Number | None


@dataclass(frozen=True)
class Launch:
    """A kernel with what it is given.

    Attributes:
        name: of the compiled form, for people.
        kernel: the `triton.jit` function.
        grid: programs along one or two axes.
        arguments: by the kernel's names; None for an address that there is not.
        constants: compile-time arguments.
        num_warps, num_stages: Triton's options.
    """

    name: str
    kernel: Any
    grid: tuple[Number, ...]
    arguments: Mapping[str, Argument]
    constants: Mapping[str, Any] = field(default_factory=dict)
    num_warps: int = 4
    num_stages: int = 1

    @property
    def passed(self) -> dict[str, Array | Number]:
        """What the compiled kernel takes, in its order."""
        names = [name for name in self.kernel.arg_names if name in self.arguments]
        return {name: x for name in names if (x := self.arguments[name]) is not None}

    @property
    def fixed(self) -> dict[str, Any]:
        """What it is compiled for."""
        absent = {name: None for name, x in self.arguments.items() if x is None}
        return {**absent, **self.constants}

    @property
    def signature(self) -> dict[str, str]:
        """Triton's types of what is passed."""
        return {
            name: f"*{x.kind}" if isinstance(x, Array) else "i32" for name, x in self.passed.items()
        }

    @property
    def divisible(self) -> tuple[str, ...]:
        """The addresses among them that are multiples of 16."""
        return tuple(n for n, x in self.passed.items() if isinstance(x, Array) and x.aligned)

    def run(self, memory: Mapping[int | str, Tensor]) -> None:
        """On tensors: of the buffers by number, and the packed ones by name."""

        def given(x: Argument) -> Any:
            return memory[x.of].flatten()[x.offset :] if isinstance(x, Array) else x

        self.kernel[self.grid](
            **{name: given(x) for name, x in self.arguments.items()},
            **self.constants,
            num_warps=self.num_warps,
            num_stages=self.num_stages,
            enable_fp_fusion=True,
        )
