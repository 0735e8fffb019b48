"""One compiled form of a kernel: what ahead-of-time compilation and its tests need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Variant:
    """A kernel with its constants chosen.

    Attributes:
        name: unique among all variants.
        kernel: the `triton.jit` function.
        signature: runtime arguments in order → Triton type ("*bf16", "i32", "fp32").
        constants: compile-time arguments.
        divisible: arguments that are multiples of 16.
        num_warps: warps of a program.
        num_stages: depth of software pipelining.
        wgmma: whether warpgroup matrix instructions (HGMMA) are expected on sm_90.
    """

    name: str
    kernel: Any
    signature: dict[str, str]
    constants: dict[str, object]
    divisible: tuple[str, ...]
    num_warps: int
    num_stages: int
    wgmma: bool
