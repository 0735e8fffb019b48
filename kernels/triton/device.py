"""What a kernel's choices depend on: the GPU's architecture, the dtype, numbers of channels."""

from __future__ import annotations

from functools import cache

import torch

DTYPES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}

# Products of fp32 as three of tf32 each (hi·hi + hi·lo + lo·hi): fp32's accuracy on matrix units.
PRECISION = {torch.float16: "ieee", torch.bfloat16: "ieee", torch.float32: "tf32x3"}


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


def padded(channels: int, most: int = 16) -> int:
    """`channels` rounded up to a power of two from 16 on, or to a multiple of `most` beyond it.

    A matrix instruction takes 16 at least.
    """
    unit = 16
    while unit < most and unit < channels:
        unit *= 2
    return -(-channels // unit) * unit


def product_blocks(inner: int, columns: int, dtype: torch.dtype) -> dict[str, int]:
    """Block sizes of a matrix product over many pixels, which compile without spills everywhere.

    Chosen on arithmetic, not measured. inner, columns: the matrix's sides, padded.
    """
    full = dtype == torch.float32
    block_n = largest_block(columns, 64 if full else 128)
    return {
        "block_m": 64 if full else 128,
        "block_n": block_n,
        "block_k": largest_block(inner, 32 if full else 64),
        "num_warps": 8 if block_n > 64 else 4,
        "num_stages": 2 if full else 3,
    }
