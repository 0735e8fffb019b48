"""x + proj(softmax(τ q̂ k̂ᵀ / √d) v) over a whole picture, or over tokens from elsewhere.

Three launches (four across): queries, keys and values with QK-norm; attention; projection and
residual. The article's listing takes the same steps: biases, no norm, no residual, and a ReLU on
the scores.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from imagen_fast.spec import preset

from . import split_attention
from .attention_variant import blank
from .attention_weights import AttentionWeights, pack_attention, pack_listing
from .split_attention import scratch_elements
from .variant import Variant

__all__ = [
    "GlobalAttentionWeights",
    "cost",
    "global_attention",
    "pack_global_attention",
    "pack_listing",
    "scratch_elements",
    "variants",
]

GlobalAttentionWeights = AttentionWeights


def pack_global_attention(
    q: Tensor,
    kv: Tensor,
    proj: Tensor,
    temperature: Tensor,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> GlobalAttentionWeights:
    """Weights of `models.blocks.AttentionBlock` with window 0; see `pack_attention`."""
    return pack_attention(q, kv, proj, temperature, None, dtype=dtype, device=device)


def global_attention(
    x: Tensor,
    weights: GlobalAttentionWeights,
    context: Tensor | None = None,
    also: Tensor | None = None,
    *,
    residual: bool = True,
    out: Tensor | None = None,
    scratch: Tensor | None = None,
) -> Tensor:
    """residual · x + proj(attention(q(x), kv(context))) + also.

    Args:
        x, also: (N, H, W, C) or (N, T, C), contiguous, of the weights' dtype.
        context: (N, …, C) with any number of tokens; x if None.
        residual: False for the listing's layers.
        out: written and returned; shares no memory with an input. Allocated if None.
        scratch: `scratch_elements(weights, N·queries, N·keys)` of x's dtype; allocated if None.
    """
    out = torch.empty_like(x) if out is None else out
    split_attention.split_attention(x, weights, context, also, out, scratch, residual=residual)
    return out


def variants(
    dtype: torch.dtype,
    channels: tuple[int, ...] = (64, 96, 128, 192, 256),
    *,
    head_dim: int = 32,
    bounded: bool = True,
) -> Iterator[Variant]:
    """The forms that self- and cross-attention over whole pictures take, and the listing's."""
    for c in channels:
        weights = blank(c, 0, dtype, head_dim, bounded=bounded)
        yield from split_attention.variants(weights, dtype)
    d_model = preset("listing", scale=1).levels[0].channels
    each = torch.zeros(d_model, d_model), torch.zeros(d_model)
    listing = pack_listing(each, each, each, each, dtype=dtype, device="cpu")
    yield from split_attention.variants(listing, dtype, cross=False)


def cost(
    weights: GlobalAttentionWeights, queries: int, keys: int, images: int, item: int, cross: bool
) -> tuple[int, int]:
    """Bytes that must cross device memory and operations, queries and keys being of one image.

    Counts what a single launch would move; the steps' own traffic is five tensors more.
    """
    c = weights.channels
    tokens = 2 * queries + (keys if cross else 0)
    parameters = weights.qkv.numel() + weights.proj.numel()
    products = 4 * queries * c * c + 4 * keys * c * c + 4 * queries * keys * c
    return (images * tokens * c + parameters) * item, images * products
