"""One compiled form of a kernel: what ahead-of-time compilation and its tests need to know."""

from __future__ import annotations

from collections.abc import Mapping
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


def integers_of(kernel: Any) -> list[str]:
    """The integers that a `triton.jit` function does not specialise on, compiled or interpreted."""
    interpreted = getattr(kernel, "kwargs", {})
    names: list[str] = interpreted.get("do_not_specialize") or kernel.do_not_specialize
    return names


def variant_of(
    kernel: Any,
    name: str,
    pointers: Mapping[str, str],
    constants: Mapping[str, object],
    launch: Mapping[str, int],
    *,
    wgmma: bool,
) -> Variant:
    """A form from the types of its pointers, all of them multiples of 16 bytes.

    The integers are those that the kernel does not specialise on; launch: num_warps, num_stages.
    """
    integers = integers_of(kernel)
    return Variant(
        name=name,
        kernel=kernel,
        signature={
            argument: "i32" if argument in integers else pointers[argument]
            for argument in kernel.arg_names
            if argument not in constants
        },
        constants=dict(constants),
        divisible=tuple(pointers),
        num_warps=launch["num_warps"],
        num_stages=launch["num_stages"],
        wgmma=wgmma,
    )
