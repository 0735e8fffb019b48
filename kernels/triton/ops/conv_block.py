"""The operation `imagen_fast::conv_block`."""

from __future__ import annotations

import torch
from torch import Tensor

from ... import reference
from .. import conv_block as kernel
from .. import tuning
from ..conv_block import ConvBlockWeights
from . import check
from .dispatch import by_kernel


def conv_block(x: Tensor, weights: ConvBlockWeights, *, out: Tensor | None = None) -> Tensor:
    """x + SiLU(conv3x3(x) + b), zeros around the picture.

    Args:
        x: (N, H, W, C), contiguous, of the weights' dtype and device.
        weights: from `pack_conv_block`.
        out: like x, sharing no memory with it; allocated if None.

    Returns:
        Like x; `out` if given.

    Raises:
        ValueError: a tensor is of another shape, dtype or device.
    """
    if out is None:
        result: Tensor = _op(x, *weights)
        return result
    _check(x, weights)
    check.tensor("out", out, tuple(x.shape), (x.dtype,), weights.taps)
    check.apart(out, x)
    return compute(x, weights, out)


def _check(x: Tensor, weights: ConvBlockWeights) -> None:
    shape = (None, None, None, weights.channels)
    check.tensor("x", x, shape, (weights.taps.dtype,), weights.taps)


def compute(x: Tensor, weights: ConvBlockWeights, out: Tensor) -> Tensor:
    """On checked tensors."""
    if by_kernel(x):
        config = tuning.tuned("conv_block", weights, x.device)
        return kernel.conv_block(x, weights, out=out, config=config)
    return out.copy_(reference.conv_block(x, weights))


@torch.library.custom_op(
    "imagen_fast::conv_block",
    mutates_args=(),
    schema="(Tensor x, Tensor taps, Tensor bias, Tensor filters) -> Tensor",
)
def _op(x: Tensor, *packed: Tensor) -> Tensor:
    weights = ConvBlockWeights(*packed)
    _check(x, weights)
    return compute(x, weights, torch.empty_like(x))


@_op.register_fake
def _(x: Tensor, *packed: Tensor) -> Tensor:
    _check(x, ConvBlockWeights(*packed))
    return torch.empty_like(x)
