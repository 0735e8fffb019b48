"""`losses.frequency_distance` by the native kernels, with its gradient in the same pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from imagen_fast.training.fused_attention import memory
from imagen_fast.training.losses import frequency_distance

if TYPE_CHECKING:
    from imagen_fast._native import Training

SIDE = 512  # pixels; beyond it a fast transform takes less time than products do


def fused_frequency_distance(native: Training) -> Callable[[Tensor, Tensor], Tensor]:
    """What takes its place: products in bfloat16, sums in float32."""
    apply: Callable[..., Tensor] = _FrequencyDistance.apply

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return apply(a, b, native) if max(a.shape[2:]) <= SIDE else frequency_distance(a, b)

    return distance


class _FrequencyDistance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, native: Training) -> Tensor:
        a, b = (x.float().permute(0, 2, 3, 1).contiguous() for x in (a, b))  # (N, H, W, C)
        gradient = torch.empty_like(a)
        distance = native.spectrum_distance(memory(a), memory(b), memory(gradient))
        ctx.save_for_backward(gradient)
        return a.new_tensor(distance)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * factor).permute(0, 3, 1, 2), None, None
