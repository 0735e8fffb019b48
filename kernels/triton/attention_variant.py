"""The compiled forms of the attention kernels, described from what a launch passes."""

from __future__ import annotations

from typing import Any

import torch

from .attention_weights import AttentionWeights, pack_attention
from .device import DTYPES
from .variant import Variant, integers_of

FP32 = ("scale", "bias")  # pointers that are fp32 whatever the activations are


def form(
    name: str, kernel: Any, dtype: torch.dtype, constants: dict[str, Any], num_warps: int = 4
) -> Variant:
    """A kernel whose integers are those that it does not specialise on."""
    integers = integers_of(kernel)
    arguments = [a for a in kernel.arg_names if a not in constants]
    signature = {
        a: "i32" if a in integers else "*fp32" if a in FP32 else f"*{DTYPES[dtype]}"
        for a in arguments
    }
    return Variant(
        name=f"{name}_{DTYPES[dtype]}",
        kernel=kernel,
        signature=signature,
        constants=constants,
        # `scale` may start at any head
        divisible=tuple(a for a in arguments if a not in integers and a != "scale"),
        num_warps=num_warps,
        num_stages=1,
        wgmma=dtype != torch.float32,
    )


def label(weights: AttentionWeights) -> str:
    """Tells forms of different weights apart."""
    parts = [f"c{weights.channels}", f"d{weights.head_dim}"]
    parts += [f"window{weights.window}"] if weights.window else []
    parts += ["listing"] if weights.relu else []
    return "_".join(parts + ([] if weights.bounded or weights.relu else ["unbounded"]))


def blank(
    channels: int, window: int, dtype: torch.dtype, head_dim: int = 32, *, bounded: bool = True
) -> AttentionWeights:
    """Weights of zeros, from which a form's constants are read."""
    matrix = torch.zeros(channels, channels)
    temperature = torch.full((channels // head_dim,), 0.5 if bounded else 100.0)
    position = torch.zeros(window * window, channels) if window else None
    return pack_attention(
        matrix, torch.cat([matrix, matrix]), matrix, temperature, position, dtype=dtype,
        device="cpu",
    )  # fmt: skip
