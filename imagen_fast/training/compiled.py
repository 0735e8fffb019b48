"""torch.compile, believed only after it has given the gradients that PyTorch gives without it.

A compiled network is code that one compiler wrote and another translated, and either can be wrong
without an error. GCC 12 at -O3 is an example: for processors with AVX-512 it mistranslates
PyTorch's transposition of 32×32 bf16 numbers (with -fno-tree-slp-vectorize it does not), so that
networks of one attention head get gradients that are not numbers. So a CPU's code is tried once
more in narrower vectors, which share none of that: on an Intel Xeon with AMX a step of 32 channels
then takes 0.74 of its time without compiling (0.65 in wide vectors that are translated right).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from imagen_fast.errors import TrainingError

Pictures = Callable[[Tensor], list[Tensor]]

# What rounding alone may do to a gradient, as a part of its length, beside what it does to the
# eager one. Measured: up to 0.011 in bf16, for single numbers such as an attention's temperature.
ROUNDING = 0.05

# Options of torch.compile, in the order in which they are tried on a CPU.
OPTIONS: tuple[dict[str, int], ...] = ({}, {"cpp.simdlen": 256})


def compiled(
    network: Pictures,
    parameters: Sequence[nn.Parameter],
    low: Tensor,
    precision: Literal["bf16", "fp32"],
    compile: Literal["auto", True],
) -> Pictures:
    """The network compiled, if its gradients are right.

    They are compared on `low`, a batch (N, 3, p, p) as it is trained on: each parameter's must be
    as near to eager fp32's as the eager network's at this precision, twice over, plus `ROUNDING`.

    Where it cannot be compiled or its gradients are wrong, `auto` warns and gives the network
    back as it was.

    Raises:
        TrainingError: the same, if `compile` is True.
    """
    for options in OPTIONS if low.device.type == "cpu" else OPTIONS[:1]:
        fast: Pictures = torch.compile(network, options={**options})
        try:
            problem = _difference(network, fast, parameters, low, precision)
        except Exception as error:  # of tracing, generating code or the C++ compiler
            reason = str(error).strip().splitlines() or [type(error).__name__]
            problem = f"the network cannot be compiled ({reason[0]})"
        if problem is None:
            return fast
    if compile == "auto":
        warnings.warn(f"{problem}; training without compiling", stacklevel=2)
        return network
    raise TrainingError(
        f"{problem}; set run.compile to false, or to 'auto' to compile where that is right, or "
        "name another C++ compiler in $CXX"
    )


def _difference(
    network: Pictures,
    fast: Pictures,
    parameters: Sequence[nn.Parameter],
    low: Tensor,
    precision: str,
) -> str | None:
    """What is wrong with the gradients of `fast`; None if nothing is."""
    exact = _gradients(network, parameters, low, "fp32")
    eager = _gradients(network, parameters, low, precision)
    found = _gradients(fast, parameters, low, precision)
    for truth, usual, gradient in zip(exact, eager, found, strict=True):
        length = truth.norm()
        error, allowed = (gradient - truth).norm(), 2 * (usual - truth).norm() + ROUNDING * length
        if not error <= allowed:  # which nan is not either
            return (
                f"the compiled network's gradients are wrong: one of {tuple(truth.shape)} errs by "
                f"{float(error / length):.2g} of its length, {float(allowed / length):.2g} allowed"
            )
    return None


def _gradients(
    network: Pictures, parameters: Sequence[nn.Parameter], low: Tensor, precision: str
) -> list[Tensor]:
    """Of every picture's mean product with noise, the same noise in every call."""
    kind = low.device.type
    noise = torch.Generator().manual_seed(0)
    with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
        pictures = network(low)
    total = torch.zeros((), device=low.device)
    for picture in pictures:
        weights = torch.randn(picture.shape, generator=noise).to(low.device)
        total = total + (picture.float() * weights).mean()
    return list(torch.autograd.grad(total, parameters, materialize_grads=True))
