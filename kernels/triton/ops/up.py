"""The operation `imagen_fast::up`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import reference
from .. import tuning
from .. import up as kernel
from ..up import UpWeights
from . import check
from .dispatch import by_kernel


def up(
    x: Tensor, weights: UpWeights, skip: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """skip + conv_transpose2x2(x) of stride 2, cropped to the skip, + b.

    Args:
        x: (N, h, w, C'), contiguous, of the weights' dtype and device.
        weights: from `pack_up`.
        skip: (N, H, W, C) with h = ⌈H/2⌉ and w = ⌈W/2⌉; without it H = 2h and W = 2w.
        out: (N, H, W, C), sharing no memory with an input; allocated if None.

    Returns:
        (N, H, W, C); `out` if given.

    Raises:
        ValueError: a tensor is of another shape, dtype or device.
    """
    if out is None:
        result: Tensor = _op(x, skip, *weights)
        return result
    _check(x, skip, weights)
    check.tensor("out", out, _shape(x, skip, weights), (x.dtype,), weights.matrix)
    check.apart(out, x, skip)
    return compute(x, skip, weights, out)


def _check(x: Tensor, skip: Tensor | None, weights: UpWeights) -> None:
    dtypes = (weights.matrix.dtype,)
    check.tensor("x", x, (None, None, None, weights.coarser), dtypes, weights.matrix)
    if skip is None:
        return
    check.tensor("the skip", skip, (x.shape[0], None, None, weights.channels), dtypes, x)
    coarse = tuple((side + 1) // 2 for side in skip.shape[1:3])
    if coarse != tuple(x.shape[1:3]):
        raise ValueError(
            f"the skip has sides {tuple(skip.shape[1:3])}; expected twice those of x, "
            f"{tuple(x.shape[1:3])}, or one less"
        )


def _shape(x: Tensor, skip: Tensor | None, weights: UpWeights) -> tuple[int, ...]:
    n, h, w, _ = x.shape
    return (n, 2 * h, 2 * w, weights.channels) if skip is None else tuple(skip.shape)


def compute(x: Tensor, skip: Tensor | None, weights: UpWeights, out: Tensor) -> Tensor:
    """On checked tensors."""
    if by_kernel(x):
        config = tuning.tuned("up", weights, x.device)
        return kernel.up(x, weights, skip, out=out, config=config)
    return out.copy_(reference.up(x, weights, skip))


@torch.library.custom_op(
    "imagen_fast::up",
    mutates_args=(),
    schema="(Tensor x, Tensor? skip, Tensor matrix, Tensor bias, int coarser, int channels)"
    " -> Tensor",
)
def _op(x: Tensor, skip: Tensor | None, *packed: Any) -> Tensor:
    weights = UpWeights(*packed)
    _check(x, skip, weights)
    return compute(x, skip, weights, x.new_empty(_shape(x, skip, weights)))


@_op.register_fake
def _(x: Tensor, skip: Tensor | None, *packed: Any) -> Tensor:
    weights = UpWeights(*packed)
    _check(x, skip, weights)
    return x.new_empty(_shape(x, skip, weights))
