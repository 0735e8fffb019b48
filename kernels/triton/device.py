"""What a kernel's choices depend on: the GPU's architecture, and how Triton names a dtype."""

from __future__ import annotations

from functools import cache

import torch

DTYPES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}


@cache
def architecture(device: torch.device) -> int:
    """Compute capability as one number: 90 for sm_90. Off CUDA (the interpreter) it is 90."""
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


@cache
def multiprocessors(device: torch.device) -> int:
    """How many programs run side by side at least; 1 off CUDA (the interpreter)."""
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def largest_block(channels: int, most: int) -> int:
    """The largest power of two, at most `most`, that divides `channels`."""
    return min(channels & -channels, most)
