"""Tensors as the native kernels for training take them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rows(x: Tensor) -> Tensor:
    """(N, C, H, W) → contiguous (N, H, W, C) in bfloat16: a view, if it is that already."""
    return x.to(torch.bfloat16).permute(0, 2, 3, 1).contiguous()


def memory(x: Tensor) -> Any:
    """Contiguous bfloat16 as a NumPy array of int16, or float32 as it is: a view."""
    x = x.detach()
    return (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).numpy()
