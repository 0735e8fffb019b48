"""Block sizes, from numbers of channels."""

from __future__ import annotations


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


def product_blocks(inner: int, columns: int) -> tuple[dict[str, int], dict[str, int]]:
    """Constants and Triton's options of a matrix product over many pixels.

    They compile without spills on every architecture; chosen on arithmetic, not measured.
    inner, columns: the matrix's sides, padded.
    """
    block_n = largest_block(columns, 128)
    blocks = {"BLOCK_M": 128, "BLOCK_N": block_n, "BLOCK_K": largest_block(inner, 64)}
    return blocks, {"num_warps": 8 if block_n > 64 else 4, "num_stages": 3}
