"""The rule that every kernel is held to: at most twice the error of PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The interpreter has no bf16: its sums and products work on the bit patterns.
DTYPES = [torch.float32, torch.float16, *([torch.bfloat16] if DEVICE == "cuda" else [])]
# What rounding the result alone costs: an error below it says nothing.
FLOOR = {torch.float32: 1e-7, torch.float16: 2e-4, torch.bfloat16: 2e-3}


def rms(error: Tensor) -> float:
    return float(error.double().square().mean().sqrt())


def assert_parity(out: Tensor, truth: Tensor, theirs: Tensor) -> None:
    """At most twice PyTorch's error in the same precision, plus a floor."""
    error, allowed = rms(out - truth), 2 * rms(theirs - truth) + FLOOR[out.dtype] * rms(truth)
    assert error <= allowed, f"{error:.2e}, allowed {allowed:.2e}"
