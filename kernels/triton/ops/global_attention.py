"""The operation `imagen_fast::global_attention`, of the listing's layers as well."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import reference
from .. import global_attention as kernel
from ..attention_weights import SCHEMA, AttentionWeights
from . import check
from .dispatch import by_kernel


def global_attention(
    x: Tensor,
    weights: AttentionWeights,
    context: Tensor | None = None,
    also: Tensor | None = None,
    *,
    out: Tensor | None = None,
    scratch: Tensor | None = None,
) -> Tensor:
    """residual · x + proj(attention(q(x), kv(context))) + also, over all of a picture's tokens.

    Args:
        x, also: (N, H, W, C) or (N, T, C), contiguous, of the weights' dtype and device.
        weights: from `pack_global_attention`, or `pack_listing`, whose layers have no residual.
        context: (N, …, C) with any number of tokens; x if None.
        out: like x, sharing no memory with an input; allocated if None.
        scratch: at least `scratch_elements` of x's dtype; allocated if None.

    Returns:
        Like x; `out` if given.

    Raises:
        ValueError: a tensor is of another shape, dtype or device, or the weights are a window's.
    """
    if out is None:
        result: Tensor = _op(x, context, also, *weights)
        return result
    _check(x, context, also, weights)
    check.tensor("out", out, tuple(x.shape), (x.dtype,), weights.qkv)
    check.apart(out, x, context, also)
    return compute(x, context, also, weights, out, scratch)


def scratch_elements(weights: AttentionWeights, queries: int, keys: int) -> int:
    """Elements of scratch memory for so many tokens of x and of the context, of all images."""
    return kernel.scratch_elements(weights, queries, keys)


def _check(
    x: Tensor, context: Tensor | None, also: Tensor | None, weights: AttentionWeights
) -> None:
    if weights.window:
        raise ValueError(
            f"these weights are for windows of {weights.window}; use window_attention, or weights "
            "from pack_global_attention"
        )
    dtypes = (weights.qkv.dtype,)
    rank = 3 if x.ndim == 3 else 4
    shape = (*(None,) * (rank - 1), weights.channels)
    check.tensor("x", x, shape, dtypes, weights.qkv)
    if context is not None:
        rank = 3 if context.ndim == 3 else 4
        shape = (x.shape[0], *(None,) * (rank - 2), weights.channels)
        check.tensor("the context", context, shape, dtypes, x)
    if also is not None:
        check.tensor("also", also, tuple(x.shape), dtypes, x)


def compute(
    x: Tensor,
    context: Tensor | None,
    also: Tensor | None,
    weights: AttentionWeights,
    out: Tensor,
    scratch: Tensor | None,
) -> Tensor:
    """On checked tensors."""
    residual = not weights.relu
    if by_kernel(x):
        return kernel.global_attention(
            x, weights, context, also, residual=residual, out=out, scratch=scratch
        )
    return out.copy_(reference.attention(x, weights, context, also, residual=residual))


@torch.library.custom_op(
    "imagen_fast::global_attention",
    mutates_args=(),
    schema=f"(Tensor x, Tensor? context, Tensor? also, {SCHEMA}) -> Tensor",
)
def _op(x: Tensor, context: Tensor | None, also: Tensor | None, *packed: Any) -> Tensor:
    weights = AttentionWeights(*packed)
    _check(x, context, also, weights)
    return compute(x, context, also, weights, torch.empty_like(x), None)


@_op.register_fake
def _(x: Tensor, context: Tensor | None, also: Tensor | None, *packed: Any) -> Tensor:
    _check(x, context, also, AttentionWeights(*packed))
    return torch.empty_like(x)
