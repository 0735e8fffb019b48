"""Losses of pictures by the native kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from imagen_fast.training.losses import PictureLoss, frequency_distance
from imagen_fast.training.native_arrays import memory

if TYPE_CHECKING:
    from imagen_fast._native import Training

SIDE = 512  # pixels; beyond it a fast transform takes less time than products do

Distance = Callable[[Tensor, Tensor], Tensor]


def fuse_loss(loss: PictureLoss, native: Training) -> None:
    """From now on the loss is computed by the kernels: spectra in their precision, else float32."""
    loss.distance = fused_distances(native).get(loss.pixel, loss.distance)
    loss.frequency_distance = fused_frequency_distance(native)


def fused_distances(native: Training) -> dict[str, Distance]:
    """What takes the place of `losses.DISTANCES`, for those that are made of the kernels' sums."""
    sums: Callable[..., Tensor] = _Sums.apply

    def psnr(a: Tensor, b: Tensor) -> Tensor:
        return 10 * (sums(a, b, True, native) / a[0].numel() + 1e-4).log10().mean()

    return {
        "l1": lambda a, b: sums(a, b, False, native).sum() / a.numel(),
        "l2": lambda a, b: sums(a, b, True, native).sum() / a.numel(),
        "psnr": psnr,
    }


def fused_frequency_distance(native: Training) -> Distance:
    """What takes the place of `losses.frequency_distance`."""
    apply: Callable[..., Tensor] = _FrequencyDistance.apply

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return apply(a, b, native) if max(a.shape[2:]) <= SIDE else frequency_distance(a, b)

    return distance


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) → contiguous (N, H, W, C) in float32: a view, if it is that already."""
    return x.float().permute(0, 2, 3, 1).contiguous()


class _Sums(torch.autograd.Function):
    """Of |a - b|, or of its squares: (N, C, H, W) → (N,)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, squares: bool, native: Training) -> Tensor:
        a, b = _rows(a), _rows(b)
        ctx.save_for_backward(a, b)
        ctx.squares, ctx.native = squares, native
        sums = a.new_empty(len(a))
        native.picture_distances(memory(a.flatten(1)), memory(b.flatten(1)), squares, memory(sums))
        return sums

    @staticmethod
    def backward(ctx: Any, factors: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        gradient = torch.empty_like(a)
        ctx.native.picture_distance_gradients(
            memory(a.flatten(1)),
            memory(b.flatten(1)),
            ctx.squares,
            memory(factors.contiguous()),
            memory(gradient.flatten(1)),
        )
        return gradient.permute(0, 3, 1, 2), None, None, None


class _FrequencyDistance(torch.autograd.Function):
    """With its gradient in the same pass."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, native: Training) -> Tensor:
        a, b = _rows(a), _rows(b)
        gradient = torch.empty_like(a)
        distance = native.spectrum_distance(memory(a), memory(b), memory(gradient))
        ctx.save_for_backward(gradient)
        return a.new_tensor(distance)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * factor).permute(0, 3, 1, 2), None, None
