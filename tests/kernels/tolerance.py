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


def amid_nan(weights):
    """Packed weights with NaN before and after each tensor, so that reads beyond it show."""
    return weights._replace(
        **{
            name: _amid_nan(value)
            for name, value in weights._asdict().items()
            if isinstance(value, Tensor)
        }
    )


def _amid_nan(x: Tensor, margin: int = 1 << 14) -> Tensor:
    memory = x.new_full((margin + x.numel() + margin,), float("nan"))
    copy = memory[margin : margin + x.numel()].view(x.shape)
    return copy.copy_(x)
