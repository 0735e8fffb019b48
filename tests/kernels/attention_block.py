"""Random attention blocks, and what PyTorch makes of them in NCHW."""

from __future__ import annotations

import copy

import torch
from tolerance import DEVICE
from torch import Tensor

from imagen_fast.models.blocks import AttentionBlock


def random_block(
    channels: int, head_dim: int, window: int, shift: int, temperature: float = 1.5
) -> AttentionBlock:
    """A block away from the near-identity that a fresh one starts as."""
    block = AttentionBlock(channels, head_dim, window, shift)
    with torch.no_grad():
        block.proj.weight.mul_(20)
        block.temperature.uniform_(-temperature, temperature)
        block.temperature[0] = temperature
        if window:
            block.position.mul_(20)
    return block


def run_block(
    block: AttentionBlock,
    x: Tensor,
    context: Tensor | None,
    also: Tensor | None,
    dtype: torch.dtype,
) -> Tensor:
    """The block in `dtype` on NHWC inputs → NHWC float64."""

    def nchw(t: Tensor | None) -> Tensor | None:
        return (
            None if t is None else t.to(dtype).permute(0, 3, 1, 2) if t.ndim == 4 else t.to(dtype)
        )

    with torch.inference_mode():
        y = copy.deepcopy(block).to(DEVICE, dtype)(nchw(x), nchw(context)).permute(0, 2, 3, 1)
        return (y if also is None else y + also.to(dtype)).double()
