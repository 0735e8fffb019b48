"""Attention in three steps: queries, keys and values; softmax(q kᵀ) v; projection and addends.

For whole pictures, for contexts from elsewhere, and for windows that do not fit one program
(`window_attention`). The second step goes block of keys by block of keys, and tracks the largest
logit on the way (online softmax: Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022,
arXiv:2205.14135) unless logits are known to be bounded. The article's listing takes the same steps:
biases, no norm, no residual, and a ReLU on the scores.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from . import linear
from .attention_weights import Attention, attention_of
from .launch import Array, Launch
from .size import Number, cdiv
from .step import Step


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
    for first in range(0, end, BLOCK_K):
        key = first + tl.arange(0, BLOCK_K)
        row, inside = token_row(key, image, top, left, height, width, keys, WINDOW)
        place = row[:, None] * KV_STRIDE + d
        k_tile = tl.load(k + place, mask=inside[:, None], other=0.0)
        v_tile = tl.load(v + place, mask=inside[:, None], other=0.0)
        logits = tl.dot(q_tile, tl.trans(k_tile))
        if RELU:
            logits = tl.where(logits < 0, 0.0, logits)  # NaN stays
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
        mixed = tl.dot(p.to(v_tile.dtype), v_tile, mixed)
    mixed /= total[:, None]
    place = q_row[:, None] * (HEADS * D) + d
    tl.store(out + place, mixed.to(out.dtype.element_ty), mask=q_inside[:, None])


def global_attention(step: Step) -> list[Launch]:
    """`global_attention`."""
    return in_three_steps(step, attention_of(step))


def in_three_steps(step: Step, attention: Attention) -> list[Launch]:
    """The launches of an attention operation, over windows or the whole picture."""
    x = step.features(0)
    mixed = step.scratch((*x.shape[:3], attention.columns))
    first, (q, kv), strides = projections(step, attention)
    tokens = x if step.given(1) is None else step.features(1)
    attended = _attended(step, attention, (q, kv, mixed), (x, tokens), strides)
    return [*first, attended, projection(step, attention, mixed)]


def projections(
    step: Step, attention: Attention
) -> tuple[list[Launch], tuple[Array, Array], tuple[int, int]]:
    """What gives q̂, and k̂ with v behind it; where they are; and elements from row to row."""
    x, columns = step.features(0), attention.columns
    if step.given(1) is None:
        q = step.scratch((*x.shape[:3], 3 * columns))
        first = [_projected(step, attention, "qkv", x, q)]
        return first, (q, q + columns), (3 * columns, 3 * columns)
    tokens = step.features(1)
    q = step.scratch((*x.shape[:3], columns))
    kv = step.scratch((*tokens.shape[:3], 2 * columns))
    first = [_projected(step, attention, "q", x, q), _projected(step, attention, "kv", tokens, kv)]
    return first, (q, kv), (columns, 2 * columns)


def _projected(step: Step, attention: Attention, part: str, x: Array, out: Array) -> Launch:
    """x → q̂, k̂ and v of every head, side by side; or the first of them, or the others."""
    columns, packed = attention.columns, attention.packed
    skipped = columns if part == "kv" else 0
    wide, normalised = {"qkv": (3, 2), "q": (1, 1), "kv": (2, 1)}[part]
    constants = linear.block_constants(
        attention.channels, wide * columns, wide * columns, 3 * columns, columns,
        attention.head_columns,
    ) | {"WINDOW": attention.window}  # fmt: skip
    pointers: dict[str, Array | None] = {"x": x, "matrix": packed["qkv"] + skipped, "out": out}
    if attention.plain:
        pointers["bias"] = packed["qkv_bias"] + skipped
    else:
        pointers["factors"] = packed["factors"] + (attention.heads if skipped else 0)
        constants["NORMALISED"] = normalised * columns
    height, width = x.shape[1:3] if attention.window else (1, 1)
    pointers["position"] = packed["position"] if attention.window else None
    sizes = (height, width, attention.shift, attention.head_dim)
    name = f"linear_{part}_{attention.label}_{step.kind}"
    return linear.launch(name, pointers, x.pixels, constants, sizes)


def _attended(
    step: Step,
    attention: Attention,
    memory: tuple[Array, Array, Array],
    grids: tuple[Array, Array],
    strides: tuple[int, int],
) -> Launch:
    """`attention_kernel`. memory: of q, of k and v, of the result; grids: of queries and keys."""
    q, kv, out = memory
    n, h, w, _ = grids[0].shape
    _, key_h, key_w, _ = grids[1].shape
    win, constants = attention.window, block_constants(attention, *strides)
    rows, columns = windows(attention, h, w) if win else (1, 1)
    blocks = cdiv(win * win or h * w, constants["BLOCK_Q"])
    wide = constants["BLOCK_Q"] == 128 and constants["D"] > 32
    name = f"attention_{attention.label}{'' if step.given(1) is None else '_cross'}_{step.kind}"
    return Launch(
        name,
        attention_kernel,
        (n * rows * columns * blocks, attention.heads),
        {
            "q": q, "k": kv, "v": kv + attention.columns, "out": out,
            "queries": h * w, "keys": key_h * key_w, "blocks": blocks, "rows": rows,
            "columns": columns, "height": h, "width": w, "shift": attention.shift,
        },
        constants,
        num_warps=8 if wide else 4,
        num_stages=2,
    )  # fmt: skip


def windows(attention: Attention, height: Number, width: Number) -> tuple[Number, Number]:
    """Rows and columns of windows in a picture."""
    win, shift = attention.window, attention.shift
    return cdiv(height + shift, win), cdiv(width + shift, win)


def block_constants(attention: Attention, q_stride: int, kv_stride: int) -> dict[str, Any]:
    """Strides in elements; blocks as large as registers allow on every architecture."""
    head = attention.head_columns
    return {
        "HEADS": attention.heads,
        "D": head,
        "Q_STRIDE": q_stride,
        "KV_STRIDE": kv_stride,
        "WINDOW": attention.window,
        "BOUNDED": attention.bounded,
        "RELU": attention.plain,
        "BLOCK_Q": 64 if attention.window or head > 64 else 128,
        "BLOCK_K": 32 if head > 64 else 64,
    }


def projection(step: Step, attention: Attention, mixed: Array) -> Launch:
    """mixed @ proj + x, or + bias, + what is added."""
    packed, depth = attention.packed, attention.depth
    also = step.addend()
    constants = linear.block_constants(
        attention.columns, attention.channels, depth, depth, depth, 16
    )
    x = None if attention.plain else step.features(0)
    pointers = {"x": mixed, "matrix": packed["proj"], "bias": packed.get("proj_bias")}
    pointers |= {"first": x, "second": also, "out": step.out}
    name = f"linear_proj_{attention.label}{'' if also is None else '_also'}_{step.kind}"
    return linear.launch(name, pointers, step.out.pixels, constants)
