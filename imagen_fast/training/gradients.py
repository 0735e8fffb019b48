"""Whether a network in a faster form has the gradients that PyTorch gives without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from imagen_fast.training.precision import Precision

Pictures = Callable[[Tensor], list[Tensor]]

# What rounding alone may do to a gradient, as a part of its length, beside what it does to the
# eager one. Measured: up to 0.011 in bf16, for single numbers such as an attention's temperature.
ROUNDING = 0.05

# How many losses' gradients are compared. A single number's may be as good as 0 for one loss, or
# rounded by much less than usual.
LOSSES = 3


def difference(
    network: Pictures,
    fast: Pictures,
    parameters: Sequence[nn.Parameter],
    low: Tensor,
    precision: Precision,
) -> str | None:
    """What is wrong with the gradients of `fast`, which is `network` in another form, or None.

    Each parameter's must be as near to eager fp32's as the eager network's at this precision, twice
    over, plus `ROUNDING`, on `low`, a batch (N, 3, p, p).
    """
    exact = _gradients(network, parameters, low, "fp32")
    eager = _gradients(network, parameters, low, precision)
    found = _gradients(fast, parameters, low, precision)
    for truth, usual, gradient in zip(exact, eager, found, strict=True):
        length = truth.norm()
        error, allowed = (gradient - truth).norm(), 2 * (usual - truth).norm() + ROUNDING * length
        if not error <= allowed:  # which nan is not either
            return (
                f"wrong gradients: one of {tuple(truth.shape[1:])} errs by "
                f"{float(error / length):.2g} of its length, {float(allowed / length):.2g} allowed"
            )
    return None


def _gradients(
    network: Pictures, parameters: Sequence[nn.Parameter], low: Tensor, precision: Precision
) -> list[Tensor]:
    """Of every picture's mean product with noise: (LOSSES, …), the same noise in every call."""
    noise = torch.Generator().manual_seed(0)
    found = [_gradient(network, parameters, low, precision, noise) for _ in range(LOSSES)]
    return [torch.stack(gradients) for gradients in zip(*found, strict=True)]


def _gradient(
    network: Pictures,
    parameters: Sequence[nn.Parameter],
    low: Tensor,
    precision: Precision,
    noise: torch.Generator,
) -> tuple[Tensor, ...]:
    with torch.autocast(low.device.type, torch.bfloat16, enabled=precision == "bf16"):
        pictures = network(low)
    total = torch.zeros((), device=low.device)
    for picture in pictures:
        weights = torch.randn(picture.shape, generator=noise).to(low.device)
        total = total + (picture.float() * weights).mean()
    return torch.autograd.grad(total, parameters, materialize_grads=True)
