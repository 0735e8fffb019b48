"""What a network is trained in where the configuration leaves it open."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["bf16", "fp32"]
Wanted = Literal["auto", "bf16", "fp32"]


def faster(precision: Wanted, device: torch.device) -> Precision:
    """`precision`, or of `auto` what PyTorch's own layers compute faster in on the device.

    On a CPU that is bf16 where a processor has fast products of it. Elsewhere they take up to ten
    times as long in bf16 as in fp32.
    """
    if precision != "auto":
        return precision
    if device.type != "cpu":
        return "bf16"
    try:
        from imagen_fast._native import preferred_precision
    except ImportError:  # installed without the engine
        return "fp32"
    return "bf16" if preferred_precision() == "bf16" else "fp32"
