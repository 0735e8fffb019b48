"""Rows times a matrix: convolutions of one tap, and what attention needs before and after it.

out = scale · activation(norm((x + position) @ matrix + bias)) + first + second: `position` is that
of a pixel in its window, `norm` divides every head by its root mean square (queries and keys) and
multiplies it by a factor of its own.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .attention_weights import inverse_rms
from .epilogue import write
from .launch import Argument, Launch
from .size import Number, cdiv
from .step import Step


@triton.jit(do_not_specialize=["rows", "height", "width", "shift", "head_dim"])
def linear_kernel(
    x,  # (rows, INNER)
    matrix,  # (INNER or more, STRIDE); the first COLUMNS from the pointer on
    position,  # (WINDOW², INNER')
    factors,  # (NORMALISED / HEAD,) fp32
    bias,  # (COLUMNS,) fp32
    slopes,  # (COLUMNS,) fp32
    first,  # like out
    second,
    out,  # (rows, OUTER)
    rows,
    height,  # of the picture that the rows are, row by row; read if WINDOW
    width,
    shift,
    head_dim,  # channels of a mean square; the rest of HEAD is 0
    INNER: tl.constexpr,
    INNER_PADDED: tl.constexpr,
    OUTER: tl.constexpr,
    COLUMNS: tl.constexpr,
    STRIDE: tl.constexpr,
    HEAD: tl.constexpr,
    NORMALISED: tl.constexpr,  # so many of the first columns are normalised
    WINDOW: tl.constexpr,  # 0 without positions
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    row = m.to(tl.int64)[:, None]
    inside = (m < rows)[:, None]
    if WINDOW:
        y, x_ = m // width % height + shift, m % width + shift
        cell = (y % WINDOW * WINDOW + x_ % WINDOW)[:, None] * INNER_PADDED
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for start in range(0, INNER_PADDED, BLOCK_K):
        column = (start + k)[None, :]
        valid = inside
        if INNER != INNER_PADDED:
            valid = inside & (column < INNER)
        a = tl.load(x + row * INNER + column, mask=valid, other=0.0)
        if WINDOW:
            a += tl.load(position + cell + column)
        b = matrix + (start + k)[:, None] * STRIDE + n[None, :]
        if INNER != INNER_PADDED:  # of a projection, the heads may end before the block does
            b = tl.load(b, mask=(start + k < INNER)[:, None], other=0.0)
        else:
            b = tl.load(b)
        sums = tl.dot(a, b, sums)
    if NORMALISED:
        # A block holds whole heads, all of them normalised or none; they have no bias.
        if tl.program_id(1) * BLOCK_N < NORMALISED:
            heads: tl.constexpr = BLOCK_N // HEAD
            parts = tl.reshape(sums, (BLOCK_M, heads, HEAD))
            factor = tl.load(factors + tl.program_id(1) * heads + tl.arange(0, heads))
            factor = inverse_rms(parts, head_dim, 2) * factor[None, :]
            sums = tl.reshape(parts * factor[:, :, None], (BLOCK_M, BLOCK_N))
    valid = inside
    if OUTER != COLUMNS:
        valid = inside & (n < OUTER)[None, :]
    place = row * OUTER + n[None, :]
    write(
        sums, n, place, valid, bias, slopes, first, second, out, ACTIVATION, SLOPE, SCALE
    )  # fmt: skip


def pack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A weight (outer, inner, 1, 1) and what there is of its outputs: (inner', outer')."""
    outer, inner = tensors["weight"].shape[:2]
    matrix = tensors["weight"].view(outer, inner).T
    more = -outer % 32
    vectors = {role: F.pad(x, (0, more)) for role, x in tensors.items() if role != "weight"}
    return {"matrix": F.pad(matrix, (0, more, 0, -inner % 32)), **vectors}


def linear(step: Step) -> Launch:
    """`convolution` of one tap."""
    packed = step.pack(lambda: pack(step.tensors))
    x, out = step.features(0), step.out
    columns = out.channels + -out.channels % 32
    constants = block_constants(x.channels, out.channels, columns, columns, columns, 16)
    return launch(
        step.name(f"linear_c{x.channels}_c{out.channels}"),
        {"x": x, "matrix": packed["matrix"], **step.ending(packed)},
        x.pixels,
        constants | step.activation(),
    )


def block_constants(
    inner: int, outer: int, columns: int, stride: int, divisor: int, head: int
) -> dict[str, Any]:
    """Those of a product of `inner` channels and `columns` of a matrix's `stride`.

    divisor: the columns among which a block must not lie across a border.
    """
    return {
        "INNER": inner,
        "INNER_PADDED": -(-inner // 32) * 32,
        "OUTER": outer,
        "COLUMNS": columns,
        "STRIDE": stride,
        "HEAD": head,
        "NORMALISED": 0,
        "WINDOW": 0,
        "ACTIVATION": "none",
        "SLOPE": 0.0,
        "SCALE": 1.0,
        "BLOCK_M": 128,
        "BLOCK_N": math.gcd(divisor, 128),
        "BLOCK_K": 32 if inner % 64 else 64,
    }


def launch(
    name: str,
    pointers: Mapping[str, Argument],
    rows: Number,
    constants: dict[str, Any],
    sizes: tuple[Number, Number, int, int] = (1, 1, 0, 1),
) -> Launch:
    """sizes: height, width, shift and head_dim, as `linear_kernel` has them."""
    names = ("position", "factors", "bias", "slopes", "first", "second")
    arguments: dict[str, Argument] = {**dict.fromkeys(names), **pointers, "rows": rows}
    arguments |= dict(zip(("height", "width", "shift", "head_dim"), sizes, strict=True))
    grid = (cdiv(rows, constants["BLOCK_M"]), constants["COLUMNS"] // constants["BLOCK_N"])
    wide = constants["BLOCK_M"] * constants["BLOCK_N"] > 128 * 64
    return Launch(
        name, linear_kernel, grid, arguments, constants, num_warps=8 if wide else 4, num_stages=3
    )
