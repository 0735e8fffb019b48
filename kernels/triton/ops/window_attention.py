"""The operation `imagen_fast::window_attention`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import reference
from .. import tuning
from .. import window_attention as kernel
from ..attention_weights import SCHEMA, AttentionWeights
from . import check
from .dispatch import by_kernel


def window_attention(
    x: Tensor,
    weights: AttentionWeights,
    context: Tensor | None = None,
    also: Tensor | None = None,
    *,
    shift: int = 0,
    out: Tensor | None = None,
    scratch: Tensor | None = None,
) -> Tensor:
    """x + proj(attention(q(x), kv(context))) + also, in windows that start at -shift.

    Args:
        x, context, also: (N, H, W, C), contiguous, of the weights' dtype and device; context x
            if None.
        weights: from `pack_window_attention`.
        shift: 0 to the window's side - 1.
        out: like x, sharing no memory with an input; allocated if None.
        scratch: at least `scratch_elements` of x's dtype; allocated if None and needed.

    Returns:
        Like x; `out` if given.

    Raises:
        ValueError: a tensor is of another shape, dtype or device, or the weights or the shift are
            no window's.
    """
    if out is None:
        result: Tensor = _op(x, context, also, shift, *weights)
        return result
    _check(x, context, also, shift, weights)
    check.tensor("out", out, tuple(x.shape), (x.dtype,), weights.qkv)
    check.apart(out, x, context, also)
    return compute(x, context, also, shift, weights, out, scratch)


def scratch_elements(weights: AttentionWeights, shape: tuple[int, ...]) -> int:
    """Elements of scratch memory for x of `shape` (N, H, W, C) on the weights' device."""
    number = _config(weights).get("launches")
    return kernel.scratch_elements(weights, shape, weights.qkv.dtype, number)


def _config(weights: AttentionWeights) -> dict[str, Any]:
    return tuning.tuned("window_attention", weights, weights.qkv.device) or {}


def _check(
    x: Tensor,
    context: Tensor | None,
    also: Tensor | None,
    shift: int,
    weights: AttentionWeights,
) -> None:
    if not weights.window or not 0 <= shift < weights.window:
        raise ValueError(
            f"shift is {shift} and the weights' window {weights.window}; expected weights of a "
            "window, and a shift from 0 to below it"
        )
    shape = (None, None, None, weights.channels)
    check.tensor("x", x, shape, (weights.qkv.dtype,), weights.qkv)
    for name, more in (("the context", context), ("also", also)):
        if more is not None:
            check.tensor(name, more, tuple(x.shape), (x.dtype,), x)


def compute(
    x: Tensor,
    context: Tensor | None,
    also: Tensor | None,
    shift: int,
    weights: AttentionWeights,
    out: Tensor,
    scratch: Tensor | None,
) -> Tensor:
    """On checked tensors."""
    if not by_kernel(x):
        return out.copy_(reference.attention(x, weights, context, also, shift=shift))
    if scratch is not None:  # exactly: a launch takes its number of rows from it
        scratch = scratch[: scratch_elements(weights, tuple(x.shape))]
    return kernel.window_attention(
        x, weights, context, also, shift=shift, out=out, scratch=scratch, config=_config(weights)
    )


@torch.library.custom_op(
    "imagen_fast::window_attention",
    mutates_args=(),
    schema=f"(Tensor x, Tensor? context, Tensor? also, int shift, {SCHEMA}) -> Tensor",
)
def _op(x: Tensor, context: Tensor | None, also: Tensor | None, shift: int, *packed: Any) -> Tensor:
    weights = AttentionWeights(*packed)
    _check(x, context, also, shift, weights)
    return compute(x, context, also, shift, weights, torch.empty_like(x), None)


@_op.register_fake
def _(x: Tensor, context: Tensor | None, also: Tensor | None, shift: int, *packed: Any) -> Tensor:
    _check(x, context, also, shift, AttentionWeights(*packed))
    return torch.empty_like(x)
