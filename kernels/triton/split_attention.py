"""An attention block in three steps: queries, keys and values; attention; projection.

For whole pictures, and for windows that do not fit one program (`window_attention`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from . import attention, linear
from .attention_weights import AttentionWeights
from .variant import Variant


def split_attention(
    x: Tensor,
    weights: AttentionWeights,
    context: Tensor | None,
    also: Tensor | None,
    out: Tensor,
    scratch: Tensor | None,
    shift: int = 0,
    residual: bool = True,
) -> None:
    """residual · x + proj(attention(q(x), kv(context))) + also → out.

    x, also, out: (N, H, W, C) or (N, T, C); context the same with any number of tokens, but
    with windows of x's shape; x if None. scratch: `scratch_elements`; allocated if None.
    """
    n, columns = x.shape[0], weights.proj.shape[0]
    pixels = x.numel() // weights.channels
    tokens = pixels if context is None else context.numel() // weights.channels
    if scratch is None:
        scratch = x.new_empty(scratch_elements(weights, pixels, tokens))
    mixed = scratch[: pixels * columns].view(pixels, columns)
    rest = scratch[pixels * columns :]
    if context is None:
        both = rest[: pixels * 3 * columns].view(pixels, 3 * columns)
        linear.query_key_value(x, weights, "qkv", both, shift)
        q, kv = both[:, :columns], both[:, columns:]
    else:
        q = rest[: pixels * columns].view(pixels, columns)
        kv = rest[pixels * columns :][: tokens * 2 * columns].view(tokens, 2 * columns)
        linear.query_key_value(x, weights, "q", q, shift)
        linear.query_key_value(context, weights, "kv", kv, shift)
    picture = (x.shape[1], x.shape[2]) if weights.window else (1, 1)
    sizes = (n, pixels // n, tokens // n)
    attention.attention(q, kv, weights, sizes, mixed, picture, shift)
    linear.project(mixed, weights, x if residual else None, also, out)


def scratch_elements(weights: AttentionWeights, pixels: int, tokens: int) -> int:
    """Elements for so many queries and keys, over all images."""
    return 2 * (pixels + tokens) * weights.proj.shape[0]


def variants(
    weights: AttentionWeights, dtype: torch.dtype, *, cross: bool = True
) -> Iterator[Variant]:
    """The forms of all steps, for self-attention and, if `cross`, cross-attention."""
    parts = ("qkv", "q", "kv") if cross else ("qkv",)
    yield from linear.variants(weights, dtype, parts, residual=weights.normalised)
    for across in (False, True) if cross else (False,):
        yield from attention.variants(weights, dtype, cross=across)
