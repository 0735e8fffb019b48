"""3×3 convolutions by the native kernels: see ConvBlock and Head of `imagen_fast.models.blocks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen_fast.models.blocks import ConvBlock, Head
from imagen_fast.training.native_arrays import memory, rows

if TYPE_CHECKING:
    from imagen_fast._native import Training

CHANNELS = 16  # kernels read multiples of as many
IMAGE_CHANNELS = 4  # a picture's at most


def fused_conv_block(block: ConvBlock, native: Training) -> Callable[..., Tensor] | None:
    """What takes the place of the block's `forward`; None if the kernels do not fit it."""
    conv = block.conv
    if conv.in_channels % CHANNELS:
        return None

    def forward(x: Tensor) -> Tensor:
        apply: Callable[..., Tensor] = _ConvBlock.apply
        return apply(x, conv.weight, conv.bias, native)

    return forward


def fused_head(head: Head, native: Training) -> Callable[..., Tensor] | None:
    """What takes the place of the head's `forward`; None if the kernels do not fit it."""
    conv, scale = head.conv, head.scale
    channels = conv.out_channels // scale**2
    if conv.in_channels % CHANNELS or channels > IMAGE_CHANNELS:
        return None

    def forward(x: Tensor, base: Tensor | None) -> Tensor:
        apply: Callable[..., Tensor] = _Head.apply
        return apply(x, base, conv.weight, conv.bias, scale, native)

    return forward


def _weights(weight: Tensor, bias: Tensor) -> list[Tensor]:
    """(out, in, 3, 3) → contiguous (out, 3, 3, in), a view in `channels_last`; (out) as it is."""
    return [weight.detach().permute(0, 2, 3, 1).contiguous(), bias.detach().contiguous()]


class _ConvBlock(torch.autograd.Function):
    """x (N, C, H, W) → the same, in the kernels' precision, channels_last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, native: Training) -> Tensor:
        x, weights = rows(x, native.precision), _weights(weight, bias)
        out, slopes = torch.empty_like(x), torch.empty_like(x)
        native.conv_block(memory(x), [memory(w) for w in weights], memory(out), memory(slopes))
        ctx.native = native
        ctx.save_for_backward(x, slopes, *weights)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, slopes, *weights = ctx.saved_tensors
        x_gradient, gradients = torch.empty_like(x), [torch.zeros_like(w) for w in weights]
        ctx.native.conv_block_backward(
            memory(x),
            memory(slopes),
            [memory(w) for w in weights],
            memory(rows(gradient, ctx.native.precision)),
            memory(x_gradient),
            [memory(g) for g in gradients],
        )
        weight, bias = gradients
        return x_gradient.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), bias, None


class _Head(torch.autograd.Function):
    """x (N, C, H, W), base (N, 3, H, W) or None → (N, 3, s·H, s·W), float32 in channels_last."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        base: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        scale: int,
        native: Training,
    ) -> Tensor:
        x, weights = rows(x, native.precision), _weights(weight, bias)
        n, h, w, _ = x.shape
        picture = torch.empty(n, scale * h, scale * w, len(bias) // scale**2)
        pixels = None if base is None else _pixels(base)
        native.head(
            memory(x),
            None if pixels is None else memory(pixels),
            [memory(w) for w in weights],
            scale,
            memory(picture),
        )
        ctx.native, ctx.scale = native, scale
        ctx.save_for_backward(x, *weights)
        return picture.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        x_gradient, gradients = torch.empty_like(x), [torch.zeros_like(w) for w in weights]
        ctx.native.head_backward(
            memory(x),
            [memory(w) for w in weights],
            ctx.scale,
            memory(_pixels(gradient)),
            memory(x_gradient),
            [memory(g) for g in gradients],
        )
        base = None
        if ctx.needs_input_grad[1]:  # each pixel of the base became s² of the picture
            base = F.avg_pool2d(gradient, ctx.scale) * ctx.scale**2
        weight, bias = gradients
        return (
            x_gradient.permute(0, 3, 1, 2), base, weight.permute(0, 3, 1, 2), bias, None, None,
        )  # fmt: skip


def _pixels(picture: Tensor) -> Tensor:
    """(N, 3, H, W) → contiguous (N, H, W, 3) in float32: a view, if it is that already."""
    return picture.detach().float().permute(0, 2, 3, 1).contiguous()
