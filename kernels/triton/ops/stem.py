"""The operation `imagen_fast::stem`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import reference
from .. import stem as kernel
from .. import tuning
from ..stem import StemWeights
from . import check
from .dispatch import by_kernel


def stem(image: Tensor, weights: StemWeights, *, out: Tensor | None = None) -> Tensor:
    """conv3x3(image) + b, zeros around the picture.

    Args:
        image: (N, H, W, image channels), contiguous: float32, or uint8, which is divided by 255.
        weights: from `pack_stem`.
        out: (N, H, W, C) of the weights' dtype; allocated if None.

    Returns:
        (N, H, W, C); `out` if given.

    Raises:
        ValueError: a tensor is of another shape, dtype or device.
    """
    if out is None:
        result: Tensor = _op(image, *weights)
        return result
    _check(image, weights)
    shape = (*image.shape[:3], weights.channels)
    check.tensor("out", out, shape, (weights.matrix.dtype,), weights.matrix)
    return compute(image, weights, out)


def _check(image: Tensor, weights: StemWeights) -> None:
    shape = (None, None, None, weights.image_channels)
    check.tensor("the image", image, shape, check.SAMPLES, weights.matrix)


def _empty(image: Tensor, weights: StemWeights) -> Tensor:
    return image.new_empty(*image.shape[:3], weights.channels, dtype=weights.matrix.dtype)


def compute(image: Tensor, weights: StemWeights, out: Tensor) -> Tensor:
    """On checked tensors."""
    if by_kernel(out):
        config = tuning.tuned("stem", weights, image.device)
        return kernel.stem(image, weights, out=out, config=config)
    return out.copy_(reference.stem(image, weights))


@torch.library.custom_op(
    "imagen_fast::stem",
    mutates_args=(),
    schema="(Tensor image, Tensor matrix, Tensor bias, int channels, int image_channels) -> Tensor",
)
def _op(image: Tensor, *packed: Any) -> Tensor:
    weights = StemWeights(*packed)
    _check(image, weights)
    return compute(image, weights, _empty(image, weights))


@_op.register_fake
def _(image: Tensor, *packed: Any) -> Tensor:
    weights = StemWeights(*packed)
    _check(image, weights)
    return _empty(image, weights)
