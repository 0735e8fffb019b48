"""To the next coarser level: a 2×2 convolution of stride 2, as one matrix product.

A coarse pixel's row holds four fine pixels of C channels. An odd last row or column is completed
with zeros by the mask.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .blocks import padded, product_blocks
from .epilogue import write
from .launch import Launch
from .size import cdiv
from .step import Step


@triton.jit(do_not_specialize=["pixels", "height", "width"])
def down_kernel(
    x,  # (N, height, width, C)
    matrix,  # (4 · C', COARSER'): (tap, in), out; zeros beyond C and COARSER
    bias,  # (COARSER',) fp32
    slopes,  # (COARSER',) fp32
    first,  # like out
    second,
    out,  # (N, ⌈height / 2⌉, ⌈width / 2⌉, COARSER)
    pixels,  # of out
    height,
    width,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    COARSER: tl.constexpr,
    COARSER_PADDED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
):
    """A program: BLOCK_M coarse pixels, over the ends of rows and images, BLOCK_N channels."""
    BLOCKS: tl.constexpr = COARSER_PADDED // BLOCK_N
    STEPS: tl.constexpr = C_PADDED // BLOCK_K
    m = tl.program_id(0) // BLOCKS * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    coarse_height = (height + 1) // 2
    coarse_width = (width + 1) // 2
    inside = m < pixels
    row = m // coarse_width  # of all images
    y = row % coarse_height * 2
    z = m % coarse_width * 2
    start = ((row // coarse_height).to(tl.int64) * height + y) * width + z  # the first fine pixel
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for step in range(4 * STEPS):
        dy = step // STEPS // 2
        dx = step // STEPS % 2
        channel = step % STEPS * BLOCK_K + k
        mask = (inside & (y + dy < height) & (z + dx < width))[:, None]
        if C != C_PADDED:
            mask = mask & (channel < C)[None, :]
        place = (start + dy * width + dx)[:, None] * C + channel[None, :]
        a = tl.load(x + place, mask=mask, other=0)  # (M, K)
        b = tl.load(matrix + (step * BLOCK_K + k)[:, None] * COARSER_PADDED + n[None, :])
        sums = tl.dot(a, b, sums)
    mask = inside[:, None] & (n < COARSER)[None, :]
    place = m.to(tl.int64)[:, None] * COARSER + n[None, :]
    write(
        sums, n, place, mask, bias, slopes, first, second, out, ACTIVATION, SLOPE, SCALE
    )  # fmt: skip


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A weight (coarser, C, 2, 2) and what there is of its outputs."""
    coarser, c = tensors["weight"].shape[:2]
    more = padded(coarser, 64) - coarser
    taps = tensors["weight"].permute(2, 3, 1, 0)  # (2, 2, C, coarser)
    vectors = {role: F.pad(x, (0, more)) for role, x in tensors.items() if role != "weight"}
    return {"matrix": F.pad(taps, (0, more, 0, padded(c) - c)).flatten(0, 2), **vectors}


def down(step: Step) -> Launch:
    """`convolution` of 2×2 taps and stride 2."""
    packed = step.pack(lambda: pack(step.tensors))
    x, out = step.features(0), step.out
    _, h, w, _ = x.shape
    c = x.channels
    columns = padded(out.channels, 64)
    blocks, options = product_blocks(padded(c), columns)
    arguments = {
        "x": x, "matrix": packed["matrix"], **step.ending(packed),
        "pixels": out.pixels, "height": h, "width": w,
    }  # fmt: skip
    constants = {
        "C": c, "C_PADDED": padded(c), "COARSER": out.channels, "COARSER_PADDED": columns,
        **blocks, **step.activation(),
    }  # fmt: skip
    grid = cdiv(out.pixels, blocks["BLOCK_M"]) * (columns // blocks["BLOCK_N"])
    name = step.name(f"down_c{c}_c{out.channels}")
    return Launch(name, down_kernel, (grid,), arguments, constants, **options)
