"""The operation `imagen_fast::down`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import reference
from .. import down as kernel
from .. import tuning
from ..down import DownWeights
from . import check
from .dispatch import by_kernel


def down(x: Tensor, weights: DownWeights, *, out: Tensor | None = None) -> Tensor:
    """conv2x2(x) of stride 2, + b; an odd side is completed with zeros.

    Args:
        x: (N, H, W, C), contiguous, of the weights' dtype and device.
        weights: from `pack_down`.
        out: (N, ⌈H/2⌉, ⌈W/2⌉, C'), sharing no memory with x; allocated if None.

    Returns:
        (N, ⌈H/2⌉, ⌈W/2⌉, C'); `out` if given.

    Raises:
        ValueError: a tensor is of another shape, dtype or device.
    """
    if out is None:
        result: Tensor = _op(x, *weights)
        return result
    _check(x, weights)
    check.tensor("out", out, _shape(x, weights), (x.dtype,), weights.matrix)
    check.apart(out, x)
    return compute(x, weights, out)


def _check(x: Tensor, weights: DownWeights) -> None:
    shape = (None, None, None, weights.channels)
    check.tensor("x", x, shape, (weights.matrix.dtype,), weights.matrix)


def _shape(x: Tensor, weights: DownWeights) -> tuple[int, int, int, int]:
    n, h, w, _ = x.shape
    return n, (h + 1) // 2, (w + 1) // 2, weights.coarser


def compute(x: Tensor, weights: DownWeights, out: Tensor) -> Tensor:
    """On checked tensors."""
    if by_kernel(x):
        config = tuning.tuned("down", weights, x.device)
        return kernel.down(x, weights, out=out, config=config)
    return out.copy_(reference.down(x, weights))


@torch.library.custom_op(
    "imagen_fast::down",
    mutates_args=(),
    schema="(Tensor x, Tensor matrix, Tensor bias, int channels, int coarser) -> Tensor",
)
def _op(x: Tensor, *packed: Any) -> Tensor:
    weights = DownWeights(*packed)
    _check(x, weights)
    return compute(x, weights, x.new_empty(_shape(x, weights)))


@_op.register_fake
def _(x: Tensor, *packed: Any) -> Tensor:
    weights = DownWeights(*packed)
    _check(x, weights)
    return x.new_empty(_shape(x, weights))
