"""softmax(τ q̂ k̂ᵀ / √d) within windows, handed out: which pixels each pixel takes values from.

Projections as in `attention`, then the probabilities of a window's pixels for all its keys at once.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from . import attention as split
from .attention_weights import attention_of
from .launch import Launch
from .step import Step

MOST_KEYS = 256  # of a window: what registers hold of logits for a block of queries


@triton.jit(do_not_specialize=["tokens", "blocks", "rows", "columns", "height", "width", "shift"])
def attention_map_kernel(
    q,  # (N · tokens, Q_STRIDE), a head's D columns beside the next
    k,  # (N · tokens, KV_STRIDE)
    out,  # (N · tokens, HEADS · WINDOW²)
    tokens,  # of an image
    blocks,  # of queries in a window
    rows,  # of windows in an image
    columns,
    height,
    width,
    shift,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    Q_STRIDE: tl.constexpr,
    KV_STRIDE: tl.constexpr,
    WINDOW: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    KEYS: tl.constexpr,  # WINDOW² rounded up to a power of two
):
    group = tl.program_id(0) // blocks
    image = group // (rows * columns)
    top = group // columns % rows * WINDOW - shift
    left = group % columns * WINDOW - shift
    head = tl.program_id(1)
    d = head * D + tl.arange(0, D)[None, :]
    token = tl.program_id(0) % blocks * BLOCK_Q + tl.arange(0, BLOCK_Q)
    q_row, q_inside = split.token_row(token, image, top, left, height, width, tokens, WINDOW)
    q_tile = tl.load(q + q_row[:, None] * Q_STRIDE + d, mask=q_inside[:, None], other=0.0)
    key = tl.arange(0, KEYS)
    row, inside = split.token_row(key, image, top, left, height, width, tokens, WINDOW)
    k_tile = tl.load(k + row[:, None] * KV_STRIDE + d, mask=inside[:, None], other=0.0)
    logits = tl.where(inside[None, :], tl.dot(q_tile, tl.trans(k_tile)), float("-inf"))
    p = tl.exp2(logits - tl.max(logits, axis=1)[:, None])
    p /= tl.sum(p, axis=1)[:, None]
    keys: tl.constexpr = WINDOW * WINDOW
    place = q_row[:, None] * (HEADS * keys) + head * keys + key[None, :]
    mask = q_inside[:, None] & (key < keys)[None, :]
    tl.store(out + place, p.to(out.dtype.element_ty), mask=mask)


def attention_map(step: Step) -> list[Launch]:
    """`attention_map`."""
    attention, x = attention_of(step), step.features(0)
    keys = attention.window**2
    if keys > MOST_KEYS:
        step.refuse(f"a window has {keys} pixels; the kernel takes up to {MOST_KEYS}")
    first, (q, kv), strides = split.projections(step, attention)
    n, h, w, _ = x.shape
    rows, columns = split.windows(attention, h, w)
    block = 64 if keys <= 64 else 32
    blocks = -(-keys // block)
    constants = {
        "HEADS": attention.heads,
        "D": attention.head_columns,
        "Q_STRIDE": strides[0],
        "KV_STRIDE": strides[1],
        "WINDOW": attention.window,
        "BLOCK_Q": block,
        "KEYS": max(16, int(triton.next_power_of_2(keys))),
    }
    arguments = {
        "q": q, "k": kv, "out": step.out, "tokens": h * w, "blocks": blocks, "rows": rows,
        "columns": columns, "height": h, "width": w, "shift": attention.shift,
    }  # fmt: skip
    name = f"attention_map_{attention.label}{'' if step.given(1) is None else '_cross'}_{step.kind}"
    grid = (n * rows * columns * blocks, attention.heads)
    return [*first, Launch(name, attention_map_kernel, grid, arguments, constants)]
