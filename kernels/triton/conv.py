"""Convolutions of any kernel and stride: a matrix product a tap, over a row of pixels.

The next coarser level, 2×2 with stride 2, is one of these. What the mask leaves out is zero: beyond
the border, and the half of an odd last row or column. 3×3 with stride 1 has kernels of its own.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .blocks import padded, product_blocks
from .elementwise import bordered
from .epilogue import write
from .launch import Launch
from .size import cdiv
from .step import Step


@triton.jit(do_not_specialize=["pixels", "height", "width", "x_height", "x_width"])
def conv_kernel(
    x,  # (N, x_height, x_width, INNER)
    matrix,  # (KERNEL · KERNEL · INNER', C'): (tap, in), out; zeros beyond INNER and C
    bias,  # (C',) fp32
    slopes,  # (C',) fp32
    first,  # like out
    second,
    out,  # (N, height, width, C)
    pixels,  # of out
    height,
    width,
    x_height,
    x_width,
    INNER: tl.constexpr,
    INNER_PADDED: tl.constexpr,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    KERNEL: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,  # pixels of the kernel before the result's
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
):
    """A program: BLOCK_M pixels of the result, over the ends of images, BLOCK_N channels."""
    BLOCKS: tl.constexpr = C_PADDED // BLOCK_N
    STEPS: tl.constexpr = INNER_PADDED // BLOCK_K
    m = tl.program_id(0) // BLOCKS * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    inside = m < pixels
    row = m // width  # of all images
    y = row % height * STRIDE - BEFORE
    z = m % width * STRIDE - BEFORE
    start = ((row // height).to(tl.int64) * x_height + y) * x_width + z  # the first tap's pixel
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for step in range(KERNEL * KERNEL * STEPS):
        dy = step // STEPS // KERNEL
        dx = step // STEPS % KERNEL
        channel = step % STEPS * BLOCK_K + k
        mask = inside & (y + dy < x_height) & (z + dx < x_width)
        if BEFORE > 0:
            mask = mask & (y + dy >= 0) & (z + dx >= 0)
        mask = mask[:, None]
        if INNER != INNER_PADDED:
            mask = mask & (channel < INNER)[None, :]
        place = (start + dy * x_width + dx)[:, None] * INNER + channel[None, :]
        a = tl.load(x + place, mask=mask, other=0)  # (M, K)
        b = tl.load(matrix + (step * BLOCK_K + k)[:, None] * C_PADDED + n[None, :])
        sums = tl.dot(a, b, sums)
    mask = inside[:, None] & (n < C)[None, :]
    place = m.to(tl.int64)[:, None] * C + n[None, :]
    write(
        sums, n, place, mask, bias, slopes, first, second, out, ACTIVATION, SLOPE, SCALE
    )  # fmt: skip


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A weight (outputs, C, k, k) and what there is of its outputs."""
    outputs, c = tensors["weight"].shape[:2]
    more = padded(outputs, 64) - outputs
    taps = tensors["weight"].permute(2, 3, 1, 0)  # (k, k, C, outputs)
    vectors = {role: F.pad(x, (0, more)) for role, x in tensors.items() if role != "weight"}
    return {"matrix": F.pad(taps, (0, more, 0, padded(c) - c)).flatten(0, 2), **vectors}


def convolution(step: Step) -> list[Launch]:
    """`convolution`."""
    packed = step.pack(lambda: pack(step.tensors))
    launches, x, before = bordered(step, step.features(0))
    out, c = step.out, x.channels
    kernel, stride = step.settings["kernel"], step.settings["stride"]
    columns = padded(out.channels, 64)
    blocks, options = product_blocks(padded(c), columns)
    arguments = {
        "x": x, "matrix": packed["matrix"], **step.ending(packed), "pixels": out.pixels,
        "height": out.shape[1], "width": out.shape[2], "x_height": x.shape[1],
        "x_width": x.shape[2],
    }  # fmt: skip
    constants = {
        "INNER": c, "INNER_PADDED": padded(c), "C": out.channels, "C_PADDED": columns,
        "KERNEL": kernel, "STRIDE": stride, "BEFORE": before, **blocks, **step.activation(),
    }  # fmt: skip
    grid = cdiv(out.pixels, blocks["BLOCK_M"]) * (columns // blocks["BLOCK_N"])
    name = step.name(f"conv{kernel}x{kernel}_by{stride}_c{c}_c{out.channels}")
    return [*launches, Launch(name, conv_kernel, (grid,), arguments, constants, **options)]
