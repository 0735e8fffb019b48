"""Rows times a matrix, with what attention needs before and after it.

out = norm((x + position) @ weight + bias) · scale + residual + also: `position` is that of a
pixel in its window, `norm` divides every head by its root mean square (queries and keys), the
addends end an attention block.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .attention_variant import form, label
from .attention_weights import AttentionWeights, inverse_rms
from .device import PRECISION
from .variant import Variant


@triton.jit(do_not_specialize=["rows", "height", "width", "shift", "head_dim"])
def linear_kernel(
    x,  # (rows, IN)
    weight,  # (IN or more, WEIGHT_STRIDE); the first OUT' columns from the pointer on
    position,  # (WINDOW², IN')
    bias,  # (OUT',) fp32
    scale,  # (NORMALISED / HEAD,) fp32
    residual,  # (rows, OUT)
    also,  # (rows, OUT)
    out,  # (rows, OUT)
    rows,
    height,  # of the picture that the rows are, row by row; read if WINDOW
    width,
    shift,
    head_dim,  # channels of a mean square; the rest of HEAD is 0
    IN: tl.constexpr,
    OUT: tl.constexpr,
    IN_PADDED: tl.constexpr,
    OUT_PADDED: tl.constexpr,
    WEIGHT_STRIDE: tl.constexpr,
    HEAD: tl.constexpr,
    NORMALISED: tl.constexpr,  # so many of the first columns are normalised
    WINDOW: tl.constexpr,  # 0 without positions
    BIAS: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ALSO: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
):
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    row = m.to(tl.int64)[:, None]
    inside = (m < rows)[:, None]
    if WINDOW:
        y, x_ = m // width % height + shift, m % width + shift
        cell = (y % WINDOW * WINDOW + x_ % WINDOW)[:, None] * IN_PADDED
    acc = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in tl.range(0, IN_PADDED, BLOCK_K, num_stages=STAGES):
        column = (first + k)[None, :]
        valid = inside
        if IN != IN_PADDED:
            valid = inside & (column < IN)
        a = tl.load(x + row * IN + column, mask=valid, other=0.0)
        if WINDOW:
            a += tl.load(position + cell + column)
        b = weight + (first + k)[:, None] * WEIGHT_STRIDE + n[None, :]
        if IN != IN_PADDED:  # of a projection, the heads may end before the block does
            b = tl.load(b, mask=(first + k < IN)[:, None], other=0.0)
        else:
            b = tl.load(b)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    if BIAS:
        acc += tl.load(bias + n)[None, :]
    if NORMALISED:
        # A block holds whole heads, all of them normalised or none.
        if tl.program_id(1) * BLOCK_N < NORMALISED:
            heads: tl.constexpr = BLOCK_N // HEAD
            parts = tl.reshape(acc, (BLOCK_M, heads, HEAD))
            factor = tl.load(scale + tl.program_id(1) * heads + tl.arange(0, heads))
            factor = inverse_rms(parts, head_dim, 2) * factor[None, :]
            acc = tl.reshape(parts * factor[:, :, None], (BLOCK_M, BLOCK_N))
    place = row * OUT + n[None, :]
    valid = inside
    if OUT != OUT_PADDED:
        valid = inside & (n < OUT)[None, :]
    if RESIDUAL:
        acc += tl.load(residual + place, mask=valid, other=0.0)
    if ALSO:
        acc += tl.load(also + place, mask=valid, other=0.0)
    tl.store(out + place, acc.to(out.dtype.element_ty), mask=valid)


class LinearWeights(NamedTuple):
    """Packed weights of a layer by itself.

    Attributes:
        matrix: (IN', OUT'), both rounded up to a multiple of 32, with zeros.
        bias: (OUT',) fp32.
        inner, outer: IN and OUT.
    """

    matrix: Tensor
    bias: Tensor
    inner: int
    outer: int


def pack_linear(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, device: torch.device | str
) -> LinearWeights:
    """A weight (OUT, IN), or (OUT, IN, 1, 1) of a convolution, and bias (OUT,), packed."""
    outer, inner = weight.shape[:2]
    matrix = F.pad(weight.reshape(outer, inner).T, (0, -outer % 32, 0, -inner % 32))
    return LinearWeights(
        matrix=matrix.to(device, dtype).contiguous(),
        bias=F.pad(bias, (0, -outer % 32)).to(device, torch.float32).contiguous(),
        inner=inner,
        outer=outer,
    )


def linear(x: Tensor, weights: LinearWeights, *, out: Tensor | None = None) -> Tensor:
    """x @ weight + b: (…, IN) of the weights' dtype, contiguous → (…, OUT); `out` if given."""
    if out is None:
        out = x.new_empty(*x.shape[:-1], weights.outer)
    columns = weights.matrix.shape[1]
    constants = _constants(weights.inner, weights.outer, columns, columns, columns, x.dtype, 16)
    packed = (weights.matrix, None, weights.bias, None)
    _launch(constants | {"BIAS": True}, x, packed, (None, None, out), (1, 1, 0, 1))
    return out


def query_key_value(
    x: Tensor, weights: AttentionWeights, part: str, out: Tensor, shift: int
) -> None:
    """Rows x (N, …, C) → q̂, k̂ and v of every head, side by side: out (N · …, columns).

    part: "qkv" (3·heads·D columns), "q" (heads·D) or "kv" (2·heads·D).
    """
    columns = weights.heads * weights.head_columns
    first = columns if part == "kv" else 0
    bias = None if weights.qkv_bias is None else weights.qkv_bias[first:]
    scale = weights.scale[weights.heads :] if part == "kv" else weights.scale
    _launch(
        part_constants(weights, part, x.dtype),
        x,
        (weights.qkv[:, first:], weights.position, bias, scale),
        (x, x, out),
        (*(x.shape[1:3] if weights.window else (1, 1)), shift, weights.head_dim),
    )


def project(
    mixed: Tensor,
    weights: AttentionWeights,
    residual: Tensor | None,
    also: Tensor | None,
    out: Tensor,
) -> None:
    """residual + mixed @ proj + bias + also: (rows, heads·D) → out (N, …, C)."""
    _launch(
        projection_constants(weights, mixed.dtype, residual is not None, also is not None),
        mixed,
        (weights.proj, None, weights.proj_bias, weights.scale),
        (residual, also, out),
        (1, 1, 0, weights.head_dim),
    )


def _launch(
    constants: dict[str, Any],
    x: Tensor,
    packed: tuple[Tensor | None, ...],
    rest: tuple[Tensor | None, ...],
    sizes: tuple[int, ...],
) -> None:
    rows = x.numel() // constants["IN"]
    grid = (
        triton.cdiv(rows, constants["BLOCK_M"]),
        constants["OUT_PADDED"] // constants["BLOCK_N"],
    )
    pointers = [x if t is None else t for t in (*packed, *rest)]
    linear_kernel[grid](
        x, *pointers, rows, *sizes, **constants,
        num_warps=warps(constants), num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip


def warps(constants: dict[str, Any]) -> int:
    """Of a program."""
    return 8 if constants["BLOCK_M"] * constants["BLOCK_N"] > 128 * 64 else 4


def _constants(
    inner: int, out: int, stride: int, columns: int, divisor: int, dtype: torch.dtype, head: int
) -> dict[str, Any]:
    """`divisor`: the columns among which a block must not lie across a border."""
    full = dtype == torch.float32
    block_n = math.gcd(divisor, 128)
    return {
        "OUT": out,
        "OUT_PADDED": columns,
        "WEIGHT_STRIDE": stride,
        "HEAD": head,
        "NORMALISED": 0,
        "WINDOW": 0,
        "BIAS": False,
        "RESIDUAL": False,
        "ALSO": False,
        "IN": inner,
        "IN_PADDED": -(-inner // 32) * 32,
        "BLOCK_M": 64 if full else 128,
        "BLOCK_N": max(head, min(block_n, 64)) if full else block_n,
        "BLOCK_K": 32 if full or inner % 64 else 64,
        "PRECISION": PRECISION[dtype],
        "STAGES": 2 if full else 3,
    }


def part_constants(weights: AttentionWeights, part: str, dtype: torch.dtype) -> dict[str, Any]:
    """The compile-time arguments of `query_key_value`."""
    head = weights.head_columns
    columns = weights.heads * head
    wide = {"qkv": 3, "q": 1, "kv": 2}[part] * columns
    constants = _constants(weights.channels, wide, 3 * columns, wide, columns, dtype, head)
    normalised = {"qkv": 2, "q": 1, "kv": 1}[part] * columns if weights.normalised else 0
    return constants | {
        "NORMALISED": normalised, "WINDOW": weights.window, "BIAS": weights.qkv_bias is not None
    }  # fmt: skip


def projection_constants(
    weights: AttentionWeights, dtype: torch.dtype, residual: bool, also: bool
) -> dict[str, Any]:
    """The compile-time arguments of `project`."""
    inner, depth = weights.proj.shape
    return _constants(inner, weights.channels, depth, depth, depth, dtype, 16) | {
        "BIAS": weights.proj_bias is not None, "RESIDUAL": residual, "ALSO": also
    }  # fmt: skip


def variants(
    weights: AttentionWeights, dtype: torch.dtype, parts: tuple[str, ...], *, residual: bool = True
) -> list[Variant]:
    """The forms that `query_key_value` takes for `parts`, and that `project` takes."""
    forms = [(part, part_constants(weights, part, dtype)) for part in parts]
    forms.append(("proj", projection_constants(weights, dtype, residual, also=False)))
    return [
        form(
            f"linear_{name}_{label(weights)}",
            linear_kernel,
            dtype,
            constants,
            warps(constants),
        )
        for name, constants in forms
    ]
