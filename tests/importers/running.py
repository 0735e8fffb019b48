"""Running an imported graph by the kinds' definitions."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from imagen_fast.bundle import Bundle
from imagen_fast.models.operations import run_graph


def defined(bundle: Bundle, image: Tensor) -> Tensor:
    """(N, 3, H, W) → the picture, in the image's precision, not clamped."""
    tensors = {name: torch.from_numpy(x.copy()).to(image) for name, x in bundle.tensors.items()}
    return run_graph(bundle.graph, tensors, {"image": image})["picture"]


def computed(bundle: Bundle, tiles: NDArray[Any]) -> NDArray[Any]:
    """As `defined`, of arrays (N, H, W, 3)."""
    made = defined(bundle, torch.from_numpy(tiles).permute(0, 3, 1, 2))
    return made.permute(0, 2, 3, 1).numpy()


def decibels(found: Any, expected: Any) -> float:
    """Of a white of 1."""
    difference = torch.as_tensor(found).double() - torch.as_tensor(expected).double()
    return float(-10 * difference.square().mean().log10())
