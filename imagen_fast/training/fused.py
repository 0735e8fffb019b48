"""Layers of a network whose passes the native engine's kernels run, forward and backward.

A layer is one pass over its pictures there and back: products on the processor's matrix unit, what
lies between them in its caches. Weights and their gradients are float32, and so are sums; pictures
are bfloat16 on AVX-512 and AMX, as PyTorch has them under autocast, and float32 on AVX2. What has
no kernel runs in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imagen_fast.models.blocks import AttentionBlock, ConvBlock, Head
from imagen_fast.training.fused_attention import fused_attention
from imagen_fast.training.fused_convolution import fused_conv_block, fused_head
from imagen_fast.training.gradients import Pictures
from imagen_fast.training.precision import Wanted

if TYPE_CHECKING:
    from imagen_fast._native import Training

Forward = Callable[..., Any]

# For each kind of layer what makes its `forward`, or None for a layer that the kernels do not fit.
KERNELS: dict[type[nn.Module], Callable[[Any, Training], Forward | None]] = {
    AttentionBlock: fused_attention,
    ConvBlock: fused_conv_block,
    Head: fused_head,
}


def native_training(precision: Wanted = "auto") -> Training | None:
    """The kernels, for as many threads as PyTorch has; None where this processor has none."""
    try:
        from imagen_fast._native import Training, trainable
    except ImportError:  # installed without the engine
        return None
    names = trainable("" if precision == "auto" else precision)
    return Training(isa=names[0], threads=torch.get_num_threads()) if names else None


def fused(network: Pictures, module: nn.Module, native: Training) -> Pictures | None:
    """The network with kernels for those layers of `module` that have some; None if none has."""
    forwards: list[tuple[Any, Forward]] = []
    for layer in module.modules():
        make = KERNELS.get(type(layer))
        forward = make(layer, native) if make else None
        if forward:
            forwards.append((layer, forward))

    def fast(low: Tensor) -> list[Tensor]:
        with _replaced(forwards):
            return network(low)

    return fast if forwards else None


@contextmanager
def _replaced(forwards: list[tuple[Any, Forward]]) -> Iterator[None]:
    """Within it the modules compute by these functions."""
    for module, forward in forwards:
        module.forward = forward
    try:
        yield
    finally:
        for module, _ in forwards:
            del module.forward  # the class's shows again
