"""Kernels of other formats' convolutions in the shapes that ours have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import OperationError
from imagen_fast.graph.convolutions import MAX_KERNEL

Array = NDArray[Any]


def dilated(weight: Array, dilations: tuple[int, int]) -> Array:
    """The kernel with zeros between its taps. Raises OperationError: it reaches too far."""
    if dilations == (1, 1):
        return weight
    high, wide = ((n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilations, strict=True))
    if max(high, wide) > MAX_KERNEL:
        raise OperationError(f"its kernel reaches over {high} × {wide} pixels, dilated")
    spread = np.zeros((*weight.shape[:2], high, wide), weight.dtype)
    spread[:, :, :: dilations[0], :: dilations[1]] = weight
    return spread


def placed(weight: Array, first: tuple[int, ...], middle: Any, least: int) -> Array:
    """The kernel among zeros in a square one whose first tap is `middle(size)` pixels before."""
    high, wide = weight.shape[2:]
    size = least
    step = least
    while (
        middle(size) < max(first)
        or size - middle(size) < high - first[0]
        or size - middle(size) < wide - first[1]
    ):
        size += step
        if size > MAX_KERNEL:
            raise OperationError(f"a kernel of {high} × {wide}, {first} before its pixel")
    if (size, size) == (high, wide):
        return weight
    square = np.zeros((*weight.shape[:2], size, size), weight.dtype)
    top, left = (middle(size) - start for start in first)
    square[:, :, top : top + high, left : left + wide] = weight
    return square


def ungrouped(weight: Array, groups: int) -> Array:
    """A transposed convolution's weight (I, O / groups, …) for all groups together."""
    if groups == 1:
        return weight
    if groups < 1 or len(weight) % groups:
        raise OperationError(f"a weight of {weight.shape} in {groups} groups does not fit")
    inner, outer = len(weight) // groups, weight.shape[1]
    whole = np.zeros((len(weight), outer * groups, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * inner, (group + 1) * inner)
        whole[rows, group * outer : (group + 1) * outer] = weight[rows]
    return whole
