"""The operation `imagen_fast::linear`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import reference
from .. import linear as kernel
from ..linear import LinearWeights
from . import check
from .dispatch import by_kernel


def linear(x: Tensor, weights: LinearWeights, *, out: Tensor | None = None) -> Tensor:
    """x @ weight + b, of the last axis.

    Args:
        x: (N, H, W, IN), contiguous, of the weights' dtype and device.
        weights: from `pack_linear`.
        out: (N, H, W, OUT), sharing no memory with x; allocated if None.

    Returns:
        (N, H, W, OUT); `out` if given.

    Raises:
        ValueError: a tensor is of another shape, dtype or device.
    """
    if out is None:
        result: Tensor = _op(x, *weights)
        return result
    _check(x, weights)
    check.tensor("out", out, (*x.shape[:3], weights.outer), (x.dtype,), weights.matrix)
    check.apart(out, x)
    return compute(x, weights, out)


def _check(x: Tensor, weights: LinearWeights) -> None:
    shape = (None, None, None, weights.inner)
    check.tensor("x", x, shape, (weights.matrix.dtype,), weights.matrix)


def compute(x: Tensor, weights: LinearWeights, out: Tensor) -> Tensor:
    """On checked tensors."""
    if by_kernel(x):
        return kernel.linear(x, weights, out=out)
    return out.copy_(reference.linear(x, weights))


@torch.library.custom_op(
    "imagen_fast::linear",
    mutates_args=(),
    schema="(Tensor x, Tensor matrix, Tensor bias, int inner, int outer) -> Tensor",
)
def _op(x: Tensor, *packed: Any) -> Tensor:
    weights = LinearWeights(*packed)
    _check(x, weights)
    return compute(x, weights, x.new_empty(*x.shape[:3], weights.outer))


@_op.register_fake
def _(x: Tensor, *packed: Any) -> Tensor:
    weights = LinearWeights(*packed)
    _check(x, weights)
    return x.new_empty(*x.shape[:3], weights.outer)
