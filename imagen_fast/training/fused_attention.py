"""Window attention by the native kernels: see `imagen_fast.models.blocks.AttentionBlock`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from imagen_fast.models.blocks import AttentionBlock
from imagen_fast.training.native_arrays import memory, rows

if TYPE_CHECKING:
    from imagen_fast._native import Training

CHANNELS = 32  # kernels work on multiples of as many
WINDOW = 16  # the largest: probabilities of larger ones would leave the caches


def fused_attention(block: AttentionBlock, native: Training) -> Callable[..., Tensor] | None:
    """What takes the place of the block's `forward`; None if the kernels do not fit it."""
    channels = block.q.in_features
    if not 0 < block.window <= WINDOW or channels % CHANNELS:
        return None

    def forward(x: Tensor, context: Tensor | None = None) -> Tensor:
        weights = (block.q.weight, block.kv.weight, block.proj.weight)
        settings = (block.head_dim, block.window, block.shift)
        apply: Callable[..., Tensor] = _WindowAttention.apply
        return apply(x, context, *weights, block.temperature, block.position, native, settings)

    return forward


class _WindowAttention(torch.autograd.Function):
    """x, context (N, C, H, W) → (N, C, H, W), in the kernels' precision, channels_last."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        context: Tensor | None,
        q: Tensor,
        kv: Tensor,
        proj: Tensor,
        temperature: Tensor,
        position: Tensor,
        native: Training,
        settings: tuple[int, int, int],
    ) -> Tensor:
        x = rows(x, native.precision)
        other = x if context is None else rows(context, native.precision)
        weights = [w.detach().contiguous() for w in (q, kv, proj, temperature, position)]
        ctx.native, ctx.settings, ctx.crossed = native, settings, context is not None
        ctx.save_for_backward(x, other, *weights)
        out = torch.empty_like(x)
        native.window_attention(
            memory(x), memory(other), [memory(w) for w in weights], *settings, memory(out)
        )
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, other, *weights = ctx.saved_tensors
        gradient = rows(gradient, ctx.native.precision)
        x_gradient = torch.empty_like(x)
        other_gradient = torch.empty_like(x) if ctx.crossed else x_gradient
        gradients = [torch.zeros_like(w) for w in weights]
        ctx.native.window_attention_backward(
            memory(x),
            memory(other),
            [memory(w) for w in weights],
            *ctx.settings,
            memory(gradient),
            memory(x_gradient),
            memory(other_gradient),
            [memory(g) for g in gradients],
        )
        back = x_gradient.permute(0, 3, 1, 2)
        context = other_gradient.permute(0, 3, 1, 2) if ctx.crossed else None
        return back, context, *gradients, None, None
