"""Who computes an operation: Triton's kernel, or the reference where Triton cannot run."""

from __future__ import annotations

import torch
from torch import Tensor
from triton import knobs

# Chosen when the kernels are imported, for the whole process.
INTERPRETED = bool(knobs.runtime.interpret)


def by_kernel(x: Tensor) -> bool:
    """Whether the kernel runs on this tensor.

    Triton's interpreter has no bf16: its sums and products work on the bit patterns.
    """
    return x.is_cuda or (INTERPRETED and x.device.type == "cpu" and x.dtype != torch.bfloat16)
