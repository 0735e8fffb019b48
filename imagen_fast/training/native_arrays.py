"""Tensors as the native kernels for training take them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def rows(x: Tensor, precision: str) -> Tensor:
    """(N, C, H, W) → contiguous (N, H, W, C) in a precision: a view, if it is that already."""
    return x.to(DTYPES[precision]).permute(0, 2, 3, 1).contiguous()


def memory(x: Tensor) -> Any:
    """Contiguous bfloat16 as a NumPy array of int16, or float32 as it is: a view."""
    x = x.detach()
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()
