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

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from . import attention as split
from .attention_weights import Attention, attention_of, inverse_rms
from .launch import Argument, Array, Launch
from .size import least
from .step import Step

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
def multiply(rows, tiles):
    """Rows (tokens, DEPTH) in chunks times tiles (DEPTH, D) in chunks → fp32 (tokens, D)."""
    acc = tl.dot(rows[0], tiles[0])
    for i in tl.static_range(1, len(rows)):
        acc = tl.dot(rows[i], tiles[i], acc)
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
):
    """One head: softmax(q̂ k̂ᵀ) v, (tokens, D) in the activations' type."""
    dtype = queries[0].dtype
    q = multiply(queries, wq)
    q = (q * (inverse_rms(q, head_dim, 1) * scale)[:, None]).to(dtype)
    k = multiply(keys, wk)
    k = (k * inverse_rms(k, head_dim, 1)[:, None]).to(dtype)
    logits = tl.dot(q, tl.trans(k))
    logits = tl.where(inside[None, :], logits, float("-inf"))
    if not BOUNDED:
        logits -= tl.max(logits, axis=1)[:, None]
    p = tl.exp2(logits)
    v = multiply(keys, wv).to(dtype)
    mixed = tl.dot(p.to(dtype), v)
    return (mixed / tl.sum(p, axis=1)[:, None]).to(dtype)


@triton.jit(
    do_not_specialize=["windows", "rows", "columns", "height", "width", "shift", "head_dim"]
)
def window_attention_kernel(
    x,  # (N, height, width, C)
    context,  # the same, or None
    also,  # the same, or None
    out,  # the same; (N, height, width, HEADS · D) unless PROJECT
    qkv,  # (DEPTH, 3 · HEADS · D)
    proj,  # (HEADS · D, DEPTH); None unless PROJECT
    factors,  # (HEADS,) fp32
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
    BOUNDED: tl.constexpr,
    PROJECT: tl.constexpr,
    RESIDENT: tl.constexpr,  # weights stay in shared memory from window to window
    CHUNK: tl.constexpr,
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
            weights += ((wq, wk, wv, wp, tl.load(factors + head)),)
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
            if context is not None:
                theirs = load_rows(context + pixel * C, places, inside, i * CHUNK, C, CHUNK)
                keys += (theirs + cell,)
            else:
                keys += (queries[i],)
            acc += (tl.zeros((TOKENS, CHUNK), tl.float32),)
        if RESIDENT:
            for head in tl.static_range(HEADS):
                wq, wk, wv, wp, factor = weights[head]
                mixed = attend(queries, keys, wq, wk, wv, factor, head_dim, inside, BOUNDED)
                sums = ()
                for i in tl.static_range(chunks):
                    sums += (tl.dot(mixed, wp[i], acc[i]),)
                acc = sums
        else:
            for head in tl.range(0, HEADS, num_stages=1):
                wq = load_head(qkv + head * D, HEADS, DEPTH, D, CHUNK)
                wk = load_head(qkv + (HEADS + head) * D, HEADS, DEPTH, D, CHUNK)
                wv = load_head(qkv + (2 * HEADS + head) * D, HEADS, DEPTH, D, CHUNK)
                factor = tl.load(factors + head)
                mixed = attend(queries, keys, wq, wk, wv, factor, head_dim, inside, BOUNDED)
                if PROJECT:
                    sums = ()
                    for i in tl.static_range(chunks):
                        wp = weight_tile(proj + head * D * DEPTH + i * CHUNK, D, CHUNK, DEPTH)
                        sums += (tl.dot(mixed, wp, acc[i]),)
                    acc = sums
                else:
                    wide: tl.constexpr = HEADS * D
                    token = (y * width + x_) * wide
                    store_rows(out + pixel * wide, token, inside, mixed, head * D, wide, D)
        if PROJECT:
            for i in tl.static_range(chunks):
                value = acc[i] + load_rows(x + pixel * C, places, inside, i * CHUNK, C, CHUNK)
                if also is not None:
                    more = load_rows(also + pixel * C, places, inside, i * CHUNK, C, CHUNK)
                    value += more.to(tl.float32)
                value = value.to(out.dtype.element_ty)
                store_rows(out + pixel * C, places, inside, value, i * CHUNK, C, CHUNK)


def launches(attention: Attention) -> int:
    """1: all in one; 2: attended heads through memory; 3: queries, keys and values as well."""
    if (
        attention.window**2 > MOST_TOKENS
        or attention.head_columns > 32
        or attention.depth > TWO_LAUNCHES
    ):
        return 3
    # Without a bound on the logits there is a maximum to find, which takes registers as well.
    return 1 if attention.depth <= (ONE_LAUNCH if attention.bounded else 96) else 2


def window_attention(step: Step) -> list[Launch]:
    """`window_attention`: in windows that start at -shift."""
    attention = attention_of(step)
    number = launches(attention)
    if number == 3:
        return split.in_three_steps(step, attention)
    if number == 1:
        return [_fused(step, attention, step.out, whole=True)]
    mixed = step.scratch((*step.out.shape[:3], attention.columns))
    fused = _fused(step, attention, mixed, whole=False)
    return [fused, split.projection(step, attention, mixed)]


def _fused(step: Step, attention: Attention, out: Array, *, whole: bool) -> Launch:
    """`window_attention_kernel`, with the projection if it is `whole`."""
    x = step.features(0)
    context = None if step.given(1) is None else step.features(1)
    also = step.addend() if whole else None
    n, h, w, _ = x.shape
    rows, columns = split.windows(attention, h, w)
    count, depth, packed = n * rows * columns, attention.depth, attention.packed
    arguments: dict[str, Argument] = {
        "x": x, "context": context, "also": also, "out": out, "qkv": packed["qkv"],
        "proj": packed["proj"] if whole else None, "factors": packed["factors"],
        "position": packed["position"], "windows": count, "rows": rows, "columns": columns,
        "height": h, "width": w, "shift": attention.shift, "head_dim": attention.head_dim,
    }  # fmt: skip
    constants = {
        "C": attention.channels,
        "DEPTH": depth,
        "HEADS": attention.heads,
        "D": attention.head_columns,
        "WINDOW": attention.window,
        "TOKENS": MOST_TOKENS,
        "BOUNDED": attention.bounded,
        "PROJECT": whole,
        "RESIDENT": whole and step.arch // 10 == 9 and depth == 64,
        "CHUNK": 64 if depth % 64 == 0 and depth != 128 else 32,
    }
    if depth == 32 and not attention.bounded and step.arch >= 120:
        constants["CHUNK"] = 16  # or two registers are spilled
    name = f"window_attention_{attention.label}"
    name += "_cross" * (context is not None) + "_also" * (also is not None) + f"_{step.kind}"
    programs = least(count, 4 * step.processors) if whole else count
    return Launch(name, window_attention_kernel, (programs,), arguments, constants)
