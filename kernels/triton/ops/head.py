"""The operation `imagen_fast::head`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import reference
from .. import head as kernel
from .. import tuning
from ..head import HeadWeights
from . import check
from .dispatch import by_kernel


def head(
    x: Tensor,
    weights: HeadWeights,
    image: Tensor | None = None,
    *,
    as_bytes: bool = False,
    out: Tensor | None = None,
    not_finite: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """clamp(image repeated s × s + pixel_shuffle(conv3x3(x) + b), 0, 1), and if all was finite.

    Args:
        x: (N, H, W, C), contiguous, of the weights' dtype and device.
        weights: from `pack_head`.
        image: (N, H, W, image channels): float32, or uint8, which is divided by 255; None for a
            picture without a base.
        as_bytes: whether the picture is uint8, 255 times the value rounded half to even; else
            float32. With `out` its dtype says it.
        out: (N, s·H, s·W, image channels), float32 or uint8; allocated if None.
        not_finite: (1,) int32, given with `out`; the caller sets it to 0.

    Returns:
        The picture, and a (1,) int32 that is 1 if a value before the clamp is infinite or NaN, and
        else what it was.

    Raises:
        ValueError: a tensor is of another shape, dtype or device, or one of out and not_finite is
            missing.
    """
    if (out is None) != (not_finite is None):
        raise ValueError("out and not_finite go together: give both or none")
    if out is None or not_finite is None:
        picture, flag = _op(x, image, as_bytes, *weights)
        return picture, flag
    _check(x, image, weights)
    check.tensor("out", out, _shape(x, weights), check.SAMPLES, weights.taps)
    check.tensor("not_finite", not_finite, (1,), (torch.int32,), weights.taps)
    check.apart(out, x, image)
    return compute(x, image, weights, out, not_finite)


def _check(x: Tensor, image: Tensor | None, weights: HeadWeights) -> None:
    shape = (None, None, None, weights.channels)
    check.tensor("x", x, shape, (weights.taps.dtype,), weights.taps)
    if image is not None:
        shape = (*x.shape[:3], weights.image_channels)
        check.tensor("the image", image, shape, check.SAMPLES, x)


def _shape(x: Tensor, weights: HeadWeights) -> tuple[int, int, int, int]:
    n, h, w, _ = x.shape
    return n, weights.scale * h, weights.scale * w, weights.image_channels


def _empty(x: Tensor, weights: HeadWeights, as_bytes: bool) -> tuple[Tensor, Tensor]:
    dtype = torch.uint8 if as_bytes else torch.float32
    picture = x.new_empty(_shape(x, weights), dtype=dtype)
    return picture, x.new_zeros(1, dtype=torch.int32)


def compute(
    x: Tensor, image: Tensor | None, weights: HeadWeights, out: Tensor, not_finite: Tensor
) -> tuple[Tensor, Tensor]:
    """On checked tensors."""
    if by_kernel(x):
        config = tuning.tuned("head", weights, x.device)
        kernel.head(x, weights, image, out=out, not_finite=not_finite, config=config)
        return out, not_finite
    value = reference.head(x, weights, image)
    not_finite |= (~torch.isfinite(value)).any()
    value = value.clamp(0, 1)
    out.copy_((value * 255).round().nan_to_num() if out.dtype == torch.uint8 else value)
    return out, not_finite


@torch.library.custom_op(
    "imagen_fast::head",
    mutates_args=(),
    schema="(Tensor x, Tensor? image, bool as_bytes, Tensor taps, Tensor bias, int channels,"
    " int image_channels, int scale) -> (Tensor, Tensor)",
)
def _op(x: Tensor, image: Tensor | None, as_bytes: bool, *packed: Any) -> tuple[Tensor, Tensor]:
    weights = HeadWeights(*packed)
    _check(x, image, weights)
    return compute(x, image, weights, *_empty(x, weights, as_bytes))


@_op.register_fake
def _(x: Tensor, image: Tensor | None, as_bytes: bool, *packed: Any) -> tuple[Tensor, Tensor]:
    weights = HeadWeights(*packed)
    _check(x, image, weights)
    return _empty(x, weights, as_bytes)
