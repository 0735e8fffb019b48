"""softmax(q kᵀ) v over projected queries and keys, block of keys by block of keys.

The largest logit is tracked on the way (online softmax: Milakov and Gimelshein 2018,
arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135) unless logits are known to be bounded.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .attention_variant import form, label
from .attention_weights import AttentionWeights
from .device import PRECISION
from .variant import Variant


@triton.jit
def token_row(token, image, top, left, height, width, tokens, WINDOW: tl.constexpr):
    """Row of a token in (N · tokens, …), and whether there is such a token."""
    if WINDOW:
        y, x = top + token // WINDOW, left + token % WINDOW
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width) & (token < WINDOW * WINDOW)
        return image.to(tl.int64) * tokens + y * width + x, inside
    return image.to(tl.int64) * tokens + token, token < tokens


@triton.jit(
    do_not_specialize=["queries", "keys", "blocks", "rows", "columns", "height", "width", "shift"]
)
def attention_kernel(
    q,  # (N · queries, Q_STRIDE), a head's D columns beside the next
    k,  # (N · keys, KV_STRIDE)
    v,  # (N · keys, KV_STRIDE)
    out,  # (N · queries, HEADS · D)
    queries,  # tokens of an image
    keys,
    blocks,  # of queries in an image, or in a window
    rows,  # of windows in an image; read if WINDOW, as what follows
    columns,
    height,
    width,
    shift,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    Q_STRIDE: tl.constexpr,
    KV_STRIDE: tl.constexpr,
    WINDOW: tl.constexpr,  # 0: all keys of the image
    BOUNDED: tl.constexpr,
    RELU: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
):
    group = tl.program_id(0) // blocks  # an image, or a window of one
    image, top, left = group, 0, 0
    if WINDOW:
        image = group // (rows * columns)
        top = group // columns % rows * WINDOW - shift
        left = group % columns * WINDOW - shift
    d = tl.program_id(1) * D + tl.arange(0, D)[None, :]
    token = tl.program_id(0) % blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    q_row, q_inside = token_row(token, image, top, left, height, width, queries, WINDOW)
    q_tile = tl.load(q + q_row[:, None] * Q_STRIDE + d, mask=q_inside[:, None], other=0.0)

    mixed = tl.zeros((BLOCK_Q, D), tl.float32)
    total = tl.zeros((BLOCK_Q,), tl.float32)
    largest = tl.full((BLOCK_Q,), -1e30, tl.float32)  # finite: a block may have no key inside
    end = WINDOW * WINDOW if WINDOW else keys
    for first in tl.range(0, end, BLOCK_K, num_stages=STAGES):
        key = first + tl.arange(0, BLOCK_K)
        row, inside = token_row(key, image, top, left, height, width, keys, WINDOW)
        place = row[:, None] * KV_STRIDE + d
        k_tile = tl.load(k + place, mask=inside[:, None], other=0.0)
        v_tile = tl.load(v + place, mask=inside[:, None], other=0.0)
        logits = tl.dot(q_tile, tl.trans(k_tile), input_precision=PRECISION)
        if RELU:
            logits = tl.maximum(logits, 0.0)
        logits = tl.where(inside[None, :], logits, float("-inf"))
        if BOUNDED:
            p = tl.exp2(logits)
        else:
            most = tl.maximum(largest, tl.max(logits, axis=1))
            p = tl.exp2(logits - most[:, None])
            shrink = tl.exp2(largest - most)
            total *= shrink
            mixed *= shrink[:, None]
            largest = most
        total += tl.sum(p, axis=1)
        mixed = tl.dot(p.to(v_tile.dtype), v_tile, mixed, input_precision=PRECISION)
    mixed /= total[:, None]
    place = q_row[:, None] * (HEADS * D) + d
    tl.store(out + place, mixed.to(out.dtype.element_ty), mask=q_inside[:, None])


def attention(
    q: Tensor,
    kv: Tensor,
    weights: AttentionWeights,
    sizes: tuple[int, int, int],
    out: Tensor,
    picture: tuple[int, int],
    shift: int,
) -> None:
    """q (N·queries, ≥ heads·D), kv (N·keys, ≥ 2·heads·D) → out (N·queries, heads·D).

    sizes: N, queries, keys. q and kv may be columns of wider rows.
    picture: height and width, used if the weights are those of windows.
    """
    n, queries, keys = sizes
    constants = kernel_constants(weights, q.dtype, q.stride(0), kv.stride(0))
    win, block = weights.window, constants["BLOCK_Q"]
    rows, columns = (-(-(side + shift) // win) for side in picture) if win else (1, 1)
    blocks = triton.cdiv(win * win or queries, block)
    grid = (n * rows * columns * blocks, weights.heads)
    attention_kernel[grid](
        q, kv, kv[:, weights.proj.shape[0] :], out,
        queries, keys, blocks, rows, columns, *picture, shift, **constants,
        num_warps=warps(constants), num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip


def warps(constants: dict[str, Any]) -> int:
    """Of a program."""
    return 8 if constants["BLOCK_Q"] == 128 and constants["D"] > 32 else 4


def kernel_constants(
    weights: AttentionWeights, dtype: torch.dtype, q_stride: int, kv_stride: int
) -> dict[str, Any]:
    """The compile-time arguments of `attention_kernel`; strides in elements."""
    full, head = dtype == torch.float32, weights.head_columns
    # As large as registers allow on every architecture: wider heads take smaller blocks.
    if full:
        block_q, block_k = {128: 16, 64: 32}.get(head, 64), 16
    else:
        block_q = 64 if weights.window or head > 64 else 128
        block_k = 32 if head > 64 else 64
    return {
        "HEADS": weights.heads,
        "D": head,
        "Q_STRIDE": q_stride,
        "KV_STRIDE": kv_stride,
        "WINDOW": weights.window,
        "BOUNDED": weights.bounded,
        "RELU": weights.relu,
        "BLOCK_Q": block_q,
        "BLOCK_K": block_k,
        "PRECISION": PRECISION[dtype],
        "STAGES": 1 if full else 2,
    }


def variants(weights: AttentionWeights, dtype: torch.dtype, *, cross: bool) -> list[Variant]:
    """The form that `attention` takes."""
    columns = weights.proj.shape[0]
    strides = (columns, 2 * columns) if cross else (3 * columns, 3 * columns)
    name = f"attention_{label(weights)}{'_cross' if cross else ''}"
    constants = kernel_constants(weights, dtype, *strides)
    return [form(name, attention_kernel, dtype, constants, warps(constants))]
