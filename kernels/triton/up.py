"""To the next finer level: skip + a 2×2 transposed convolution of stride 2, as one matrix product.

Each coarse pixel gives four fine ones, which do not overlap: its row times a matrix of 4 · C
columns, (dy, dx, channel), of which 2 · C stand side by side in the result.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .blocks import padded, product_blocks
from .epilogue import samples
from .launch import Launch
from .size import cdiv
from .step import Step


@triton.jit(do_not_specialize=["pixels", "coarse_height", "coarse_width", "height", "width"])
def up_kernel(
    x,  # (N, coarse_height, coarse_width, COARSER)
    matrix,  # (COARSER', COLUMNS): in, (dy, dx, out); zeros beyond COARSER and 4 · C
    bias,  # (COLUMNS,) fp32, four times the same
    skip,  # (N, height, width, C), or None
    out,  # (N, height, width, C)
    pixels,  # of x
    coarse_height,
    coarse_width,
    height,
    width,
    COARSER: tl.constexpr,
    COARSER_PADDED: tl.constexpr,
    C: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """A program: BLOCK_M coarse pixels, over the ends of rows and images, BLOCK_N columns."""
    BLOCKS: tl.constexpr = COLUMNS // BLOCK_N
    m = tl.program_id(0) // BLOCKS * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    inside = m < pixels
    start = m.to(tl.int64)[:, None] * COARSER
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in range(0, COARSER_PADDED, BLOCK_K):
        mask = inside[:, None]
        if COARSER != COARSER_PADDED:
            mask = mask & (first + k < COARSER)[None, :]
        a = tl.load(x + start + (first + k)[None, :], mask=mask, other=0)  # (M, K)
        b = tl.load(matrix + (first + k)[:, None] * COLUMNS + n[None, :])
        sums = tl.dot(a, b, sums)
    if bias is not None:
        sums += tl.load(bias + n)[None, :]
    dy = n // C // 2
    dx = n // C % 2
    row = m // coarse_width  # of all images
    y = row % coarse_height * 2
    z = m % coarse_width * 2
    mask = inside[:, None] & (y[:, None] + dy[None, :] < height)  # an odd side is cropped
    mask &= z[:, None] + dx[None, :] < width
    if COLUMNS != 4 * C:
        mask &= (n < 4 * C)[None, :]
    fine = ((row // coarse_height).to(tl.int64) * height + y) * width + z
    place = fine[:, None] * C + (dy * width + dx)[None, :] * C + (n % C)[None, :]
    if skip is not None:
        sums += samples(skip, place, mask)
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=mask)


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A weight (coarser, C, 2, 2), which is transposed, and a bias (C,) of four columns each."""
    coarser, c = tensors["weight"].shape[:2]
    more = padded(4 * c, 64) - 4 * c
    matrix = tensors["weight"].permute(0, 2, 3, 1).flatten(1)  # (coarser, 4 · C)
    packed = {"matrix": F.pad(matrix, (0, more, 0, padded(coarser) - coarser))}
    if "bias" in tensors:
        packed["bias"] = F.pad(tensors["bias"].repeat(4), (0, more))
    return packed


def up(step: Step) -> Launch:
    """`transposed_convolution`: a skip of odd sides crops the result."""
    packed = step.pack(lambda: pack(step.tensors))
    x, out = step.features(0), step.out
    _, coarse_height, coarse_width, _ = x.shape
    coarser = x.channels
    columns = padded(4 * out.channels, 64)
    blocks, options = product_blocks(padded(coarser), columns)
    arguments = {
        "x": x, "matrix": packed["matrix"], "bias": packed.get("bias"), "skip": step.given(1),
        "out": out, "pixels": x.pixels, "coarse_height": coarse_height,
        "coarse_width": coarse_width, "height": out.shape[1], "width": out.shape[2],
    }  # fmt: skip
    constants = {
        "COARSER": coarser, "COARSER_PADDED": padded(coarser), "C": out.channels,
        "COLUMNS": columns, **blocks,
    }  # fmt: skip
    grid = cdiv(x.pixels, blocks["BLOCK_M"]) * (columns // blocks["BLOCK_N"])
    name = step.name(f"up_c{coarser}_c{out.channels}")
    return Launch(name, up_kernel, (grid,), arguments, constants, **options)
