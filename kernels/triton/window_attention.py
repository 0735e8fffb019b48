"""x + proj(softmax(τ q̂ k̂ᵀ / √d) v) within windows: the attention block, one launch if it fits.

A program takes one window after another from gather to store: position, projections, QK-norm,
attention of one head at a time, projection and residual never leave registers and shared memory,
so an activation is read once and written once. Beyond `ONE_LAUNCH` channels the accumulators of
the projection would not fit beside a head: the attended heads go to memory once, and `linear`
adds projection and residual.

No two programs touch the same pixel: nothing is ordered between them. `out` must not share
memory with an input all the same, because the residual is read again at the end of a window,
and where two warps hold the same element one may have stored it before the other reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import linear, split_attention
from .attention_variant import blank, form, label
from .attention_weights import AttentionWeights, inverse_rms, pack_attention
from .device import PRECISION, architecture, multiprocessors
from .variant import Variant

__all__ = [
    "WindowAttentionWeights",
    "cost",
    "pack_window_attention",
    "scratch_elements",
    "variants",
    "window_attention",
]

WindowAttentionWeights = AttentionWeights
pack_window_attention = pack_attention

ONE_LAUNCH = 128  # most channels whose projection fits beside a head
TWO_LAUNCHES = 192  # most channels of which a window and a head's weights fit shared memory
MOST_TOKENS = 64  # pixels of a window: the rows of one warpgroup's matrix instruction


@triton.jit
def load_rows(pointer, places, inside, first: tl.constexpr, C: tl.constexpr, CHUNK: tl.constexpr):
    """Channels first to first + CHUNK - 1 of a window's pixels, (tokens, CHUNK); 0 outside."""
    c = first + tl.arange(0, CHUNK)
    valid = inside[:, None]
    if C % CHUNK != 0:
        valid = valid & (c < C)[None, :]
    return tl.load(pointer + places[:, None] + c[None, :], mask=valid, other=0.0)


@triton.jit
def store_rows(pointer, places, inside, value, first, C: tl.constexpr, CHUNK: tl.constexpr):
    """What `load_rows` reads, written."""
    c = first + tl.arange(0, CHUNK)
    valid = inside[:, None]
    if C % CHUNK != 0:
        valid = valid & (c < C)[None, :]
    tl.store(pointer + places[:, None] + c[None, :], value, mask=valid)


@triton.jit
def weight_tile(pointer, ROWS: tl.constexpr, COLUMNS: tl.constexpr, stride):
    """(ROWS, COLUMNS) from pointer on, rows `stride` apart."""
    row, column = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    return tl.load(pointer + row[:, None] * stride + column[None, :])


@triton.jit
def load_head(
    pointer, HEADS: tl.constexpr, DEPTH: tl.constexpr, D: tl.constexpr, CHUNK: tl.constexpr
):
    """One of q, k or v of one head, (DEPTH, D), as tiles of CHUNK rows."""
    tiles = ()
    for i in tl.static_range(DEPTH // CHUNK):
        tiles += (weight_tile(pointer + i * CHUNK * 3 * HEADS * D, CHUNK, D, 3 * HEADS * D),)
    return tiles


@triton.jit
def multiply(rows, tiles, PRECISION: tl.constexpr):
    """Rows (tokens, DEPTH) in chunks times tiles (DEPTH, D) in chunks → fp32 (tokens, D)."""
    acc = tl.dot(rows[0], tiles[0], input_precision=PRECISION)
    for i in tl.static_range(1, len(rows)):
        acc = tl.dot(rows[i], tiles[i], acc, input_precision=PRECISION)
    return acc


@triton.jit
def attend(
    queries,
    keys,
    wq,
    wk,
    wv,
    scale,
    head_dim,
    inside,
    BOUNDED: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One head: softmax(q̂ k̂ᵀ) v, (tokens, D) in the activations' type."""
    dtype = queries[0].dtype
    q = multiply(queries, wq, PRECISION)
    q = (q * (inverse_rms(q, head_dim, 1) * scale)[:, None]).to(dtype)
    k = multiply(keys, wk, PRECISION)
    k = (k * inverse_rms(k, head_dim, 1)[:, None]).to(dtype)
    logits = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    logits = tl.where(inside[None, :], logits, float("-inf"))
    if not BOUNDED:
        logits -= tl.max(logits, axis=1)[:, None]
    p = tl.exp2(logits)
    v = multiply(keys, wv, PRECISION).to(dtype)
    mixed = tl.dot(p.to(dtype), v, input_precision=PRECISION)
    return (mixed / tl.sum(p, axis=1)[:, None]).to(dtype)


@triton.jit(
    do_not_specialize=["windows", "rows", "columns", "height", "width", "shift", "head_dim"]
)
def window_attention_kernel(
    x,  # (N, height, width, C)
    context,  # the same; read if CROSS
    also,  # the same; read if ALSO
    out,  # the same; (N, height, width, HEADS · D) unless PROJECT
    qkv,  # (DEPTH, 3 · HEADS · D)
    proj,  # (HEADS · D, DEPTH); read if PROJECT
    scale,  # (HEADS,) fp32
    position,  # (WINDOW², DEPTH)
    windows,  # N · rows · columns
    rows,
    columns,
    height,
    width,
    shift,
    head_dim,
    C: tl.constexpr,
    DEPTH: tl.constexpr,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    WINDOW: tl.constexpr,
    TOKENS: tl.constexpr,
    CROSS: tl.constexpr,
    ALSO: tl.constexpr,
    BOUNDED: tl.constexpr,
    PROJECT: tl.constexpr,
    RESIDENT: tl.constexpr,  # weights stay in shared memory from window to window
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    tl.static_assert(PROJECT or not RESIDENT)
    t = tl.arange(0, TOKENS)
    y, x_ = t // WINDOW, t % WINDOW
    cells = t < WINDOW * WINDOW
    chunks: tl.constexpr = DEPTH // CHUNK
    if RESIDENT:
        weights = ()
        for head in tl.static_range(HEADS):
            wq = load_head(qkv + head * D, HEADS, DEPTH, D, CHUNK)
            wk = load_head(qkv + (HEADS + head) * D, HEADS, DEPTH, D, CHUNK)
            wv = load_head(qkv + (2 * HEADS + head) * D, HEADS, DEPTH, D, CHUNK)
            wp = ()
            for i in tl.static_range(chunks):
                wp += (weight_tile(proj + head * D * DEPTH + i * CHUNK, D, CHUNK, DEPTH),)
            weights += ((wq, wk, wv, wp, tl.load(scale + head)),)
    for index in tl.range(tl.program_id(0), windows, tl.num_programs(0), num_stages=1):
        top = index // columns % rows * WINDOW - shift
        left = index % columns * WINDOW - shift
        inside = (top + y >= 0) & (top + y < height) & (left + x_ >= 0) & (left + x_ < width)
        inside &= cells
        pixel = (index // (rows * columns)).to(tl.int64) * height * width + top * width + left
        places = (y * width + x_) * C
        queries, keys, acc = (), (), ()
        for i in tl.static_range(chunks):
            cell = load_rows(position, t * DEPTH, cells, i * CHUNK, DEPTH, CHUNK)
            queries += (load_rows(x + pixel * C, places, inside, i * CHUNK, C, CHUNK) + cell,)
            if CROSS:
                theirs = load_rows(context + pixel * C, places, inside, i * CHUNK, C, CHUNK)
                keys += (theirs + cell,)
            else:
                keys += (queries[i],)
            acc += (tl.zeros((TOKENS, CHUNK), tl.float32),)
        if RESIDENT:
            for head in tl.static_range(HEADS):
                wq, wk, wv, wp, factor = weights[head]
                mixed = attend(
                    queries, keys, wq, wk, wv, factor, head_dim, inside, BOUNDED, PRECISION
                )
                sums = ()
                for i in tl.static_range(chunks):
                    sums += (tl.dot(mixed, wp[i], acc[i], input_precision=PRECISION),)
                acc = sums
        else:
            for head in tl.range(0, HEADS, num_stages=1):
                wq = load_head(qkv + head * D, HEADS, DEPTH, D, CHUNK)
                wk = load_head(qkv + (HEADS + head) * D, HEADS, DEPTH, D, CHUNK)
                wv = load_head(qkv + (2 * HEADS + head) * D, HEADS, DEPTH, D, CHUNK)
                factor = tl.load(scale + head)
                mixed = attend(
                    queries, keys, wq, wk, wv, factor, head_dim, inside, BOUNDED, PRECISION
                )
                if PROJECT:
                    sums = ()
                    for i in tl.static_range(chunks):
                        wp = weight_tile(proj + head * D * DEPTH + i * CHUNK, D, CHUNK, DEPTH)
                        sums += (tl.dot(mixed, wp, acc[i], input_precision=PRECISION),)
                    acc = sums
                else:
                    wide: tl.constexpr = HEADS * D
                    token = (y * width + x_) * wide
                    store_rows(out + pixel * wide, token, inside, mixed, head * D, wide, D)
        if PROJECT:
            for i in tl.static_range(chunks):
                value = acc[i] + load_rows(x + pixel * C, places, inside, i * CHUNK, C, CHUNK)
                if ALSO:
                    value += load_rows(also + pixel * C, places, inside, i * CHUNK, C, CHUNK)
                value = value.to(out.dtype.element_ty)
                store_rows(out + pixel * C, places, inside, value, i * CHUNK, C, CHUNK)


def window_attention(
    x: Tensor,
    weights: WindowAttentionWeights,
    context: Tensor | None = None,
    also: Tensor | None = None,
    *,
    shift: int = 0,
    out: Tensor | None = None,
    scratch: Tensor | None = None,
    config: Mapping[str, int] | None = None,
) -> Tensor:
    """x + proj(attention(q(x), kv(context))) + also, in windows that start at -shift.

    Args:
        x, context, also: (N, H, W, C), contiguous, of the weights' dtype; context x if None.
        out: written and returned; shares no memory with an input. Allocated if None.
        scratch: `scratch_elements` of x's dtype, of the same launches; allocated if None and
            needed.
        config: overrides of `default_config`.
    """
    n, height, width, _ = x.shape
    out = torch.empty_like(x) if out is None else out
    chosen = default_config(weights, x.dtype, architecture(x.device)) | dict(config or {})
    number = chosen["launches"]
    if number == 3:
        split_attention.split_attention(x, weights, context, also, out, scratch, shift)
        return out
    rows, columns = (-(-(side + shift) // weights.window) for side in (height, width))
    windows = n * rows * columns
    target = out
    if number == 2:
        target = (
            x.new_empty(n * height * width, weights.proj.shape[0]) if scratch is None else scratch
        )
    programs = min(windows, chosen["programs"] * multiprocessors(x.device))
    constants = kernel_constants(
        weights, x.dtype, chosen, cross=context is not None, also=also is not None
    )
    window_attention_kernel[(programs if number == 1 else windows,)](
        x, x if context is None else context, x if also is None else also, target,
        weights.qkv, weights.proj, weights.scale, weights.position,
        windows, rows, columns, height, width, shift, weights.head_dim,
        **constants, num_warps=chosen["num_warps"], num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip
    if number == 2:
        linear.project(target, weights, x, also, out)
    return out


def launches(weights: WindowAttentionWeights, dtype: torch.dtype) -> int:
    """1: all in one; 2: attended heads through memory; 3: queries, keys and values as well."""
    if (
        dtype == torch.float32  # three products for one: they do not fit registers
        or weights.window**2 > MOST_TOKENS
        or weights.head_columns > 32
        or weights.depth > TWO_LAUNCHES
    ):
        return 3
    # Without a bound on the logits there is a maximum to find, which takes registers as well.
    return 1 if weights.depth <= (ONE_LAUNCH if weights.bounded else 96) else 2


def scratch_elements(
    weights: WindowAttentionWeights,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    number: int | None = None,
) -> int:
    """Elements of scratch memory for x of `shape` (N, H, W, C) and a context like it.

    number: of launches, if a configuration says it.
    """
    number = number or launches(weights, dtype)
    pixels = shape[0] * shape[1] * shape[2]
    if number == 3:
        return split_attention.scratch_elements(weights, pixels, pixels)
    return pixels * weights.proj.shape[0] if number == 2 else 0


def default_config(
    weights: WindowAttentionWeights, dtype: torch.dtype, arch: int
) -> dict[str, int]:
    """What a launch takes from tuning, with values that compile without spills everywhere.

    launches: 1 to 3, see `launches`.
    resident: weights stay in shared memory; programs: of a multiprocessor; chunk: channels of
    one matrix instruction's tile.
    """
    resident = arch // 10 == 9 and weights.depth == 64
    chunk = 64 if weights.depth % 64 == 0 and weights.depth != 128 else 32
    return {
        "launches": launches(weights, dtype),
        "resident": int(resident),
        "programs": 4,
        "chunk": chunk,
        "num_warps": 4,
    }


def kernel_constants(
    weights: WindowAttentionWeights,
    dtype: torch.dtype,
    config: Mapping[str, int],
    *,
    cross: bool,
    also: bool,
) -> dict[str, Any]:
    """The compile-time arguments of `window_attention_kernel`."""
    whole = config["launches"] == 1
    return {
        "C": weights.channels,
        "DEPTH": weights.depth,
        "HEADS": weights.heads,
        "D": weights.head_columns,
        "WINDOW": weights.window,
        "TOKENS": MOST_TOKENS,
        "CROSS": cross,
        "ALSO": also and whole,
        "BOUNDED": weights.bounded,
        "PROJECT": whole,
        "RESIDENT": bool(config["resident"]) and whole,
        "CHUNK": config["chunk"],
        "PRECISION": PRECISION[dtype],
    }


def variants(
    dtype: torch.dtype,
    arch: int,
    channels: tuple[int, ...] = (64, 96, 128, 192, 256),
    *,
    window: int = 8,
    bounded: bool = True,
) -> Iterator[Variant]:
    """The forms that self- and cross-attention take at `channels`, on sm_`arch`."""
    for c in channels:
        weights = blank(c, window, dtype, bounded=bounded)
        config = default_config(weights, dtype, arch)
        if config["launches"] == 3:
            yield from split_attention.variants(weights, dtype)
            continue
        for cross, also in ((False, False), (True, False), (True, True)):
            if also and config["launches"] == 2:
                continue
            name = f"window_attention_{label(weights)}{'_cross' * cross}{'_also' * also}"
            constants = kernel_constants(weights, dtype, config, cross=cross, also=also)
            yield form(name, window_attention_kernel, dtype, constants, config["num_warps"])
        if config["launches"] == 2:
            yield from linear.variants(weights, dtype, ())


def cost(
    weights: WindowAttentionWeights, shape: tuple[int, ...], item: int, *, cross: bool, also: bool
) -> tuple[int, int]:
    """Bytes that must cross device memory and operations, of a block over (N, H, W, C).

    Each input read once, the output written once, weights once; `item` bytes an element.
    """
    pixels, c = shape[0] * shape[1] * shape[2], weights.channels
    tensors = 2 + cross + also
    parameters = weights.qkv.numel() + weights.proj.numel()
    products = 8 * c * c + 4 * weights.window**2 * c
    return (tensors * pixels * c + parameters) * item, pixels * products
