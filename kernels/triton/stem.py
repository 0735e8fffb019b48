"""3×3 convolutions of a few channels, as a picture has: one matrix product a tile of pixels.

A pixel's row holds its 9 · channels neighbouring samples. Bytes enter the product as they are,
exact in 16 bits, and the sums are divided by 255. Zeros around the picture, or a wider x.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .blocks import padded
from .elementwise import bordered
from .epilogue import write
from .launch import Launch
from .size import cdiv
from .step import Step

MOST_INNER = 7  # channels whose neighbourhood is a row of 64
MOST_COLUMNS = 128  # output channels of a program


@triton.jit(do_not_specialize=["pixels", "height", "width"])
def stem_kernel(
    x,  # (N, height + 2 · WIDER, width + 2 · WIDER, INNER), uint8, fp32 or features
    matrix,  # (K, C'), zeros beyond 9 · INNER and beyond C
    bias,  # (C',) fp32
    slopes,  # (C',) fp32
    first,  # like out
    second,
    out,  # (N, height, width, C)
    pixels,  # N · height · width
    height,
    width,
    INNER: tl.constexpr,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    K: tl.constexpr,
    WIDER: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
):
    """A program: BLOCK_M pixels in a row's order, over the ends of rows and images."""
    BLOCKS: tl.constexpr = C_PADDED // BLOCK_N
    first_pixel = tl.program_id(0) // BLOCKS * BLOCK_M
    m = tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, K)
    dy = (k // INNER // 3 - 1)[None, :]
    dx = (k // INNER % 3 - 1)[None, :]
    inside = first_pixel + m < pixels
    y = ((first_pixel + m) // width % height)[:, None] + dy  # (M, K)
    z = ((first_pixel + m) % width)[:, None] + dx
    mask = inside[:, None] & (k < 9 * INNER)[None, :]
    if WIDER:
        image = ((first_pixel + m) // width // height).to(tl.int64)[:, None]
        at = (image * (height + 2) + y + 1) * (width + 2) + z + 1
        a = tl.load(x + at * INNER + (k % INNER)[None, :], mask=mask, other=0)
    else:
        mask &= (y >= 0) & (y < height) & (z >= 0) & (z < width)
        at = (m[:, None] + dy * width + dx) * INNER + (k % INNER)[None, :]
        a = tl.load(x + first_pixel.to(tl.int64) * INNER + at, mask=mask, other=0)
    b = tl.load(matrix + k[:, None] * C_PADDED + n[None, :])
    sums = tl.dot(a.to(b.dtype), b)  # (M, N)
    if x.dtype.element_ty == tl.uint8:
        sums *= 1 / 255
    mask = inside[:, None] & (n < C)[None, :]
    place = (first_pixel.to(tl.int64) + m)[:, None] * C + n[None, :]
    write(
        sums, n, place, mask, bias, slopes, first, second, out, ACTIVATION, SLOPE, SCALE
    )  # fmt: skip


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A weight (C, inner, 3, 3) and what there is of its outputs: the matrix (K, C')."""
    c, inner = tensors["weight"].shape[:2]
    matrix = tensors["weight"].permute(2, 3, 1, 0).reshape(9 * inner, c)
    more = padded(c, MOST_COLUMNS) - c
    vectors = {role: F.pad(x, (0, more)) for role, x in tensors.items() if role != "weight"}
    return {"matrix": F.pad(matrix, (0, more, 0, _rows(inner) - len(matrix))), **vectors}


def _rows(inner: int) -> int:
    return max(16, int(triton.next_power_of_2(9 * inner)))


def stem(step: Step) -> list[Launch]:
    """`convolution` of 3×3 taps and `MOST_INNER` channels at most, of samples or features.

    Block sizes compile without spills on every architecture; chosen on arithmetic, not measured.
    """
    packed = step.pack(lambda: pack(step.tensors))
    launches, x, first = bordered(step, step.all_given[0])
    out = step.out
    _, h, w, _ = out.shape
    inner = x.channels
    columns = padded(out.channels, MOST_COLUMNS)
    block_m, block_n = 128, min(columns, MOST_COLUMNS)
    arguments = {
        "x": x, "matrix": packed["matrix"], **step.ending(packed),
        "pixels": out.pixels, "height": h, "width": w,
    }  # fmt: skip
    constants = {
        "INNER": inner, "C": out.channels, "C_PADDED": columns, "K": _rows(inner),
        "WIDER": 1 - first, "BLOCK_M": block_m, "BLOCK_N": block_n, **step.activation(),
    }  # fmt: skip
    launch = Launch(
        step.name(f"stem_c{inner}_c{out.channels}"),
        stem_kernel,
        (cdiv(out.pixels, block_m) * (columns // block_n),),
        arguments,
        constants,
        num_warps=8 if block_n > 64 else 4,
    )
    return [*launches, launch]
