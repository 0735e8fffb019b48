"""torch.compile, believed only where its gradients are right (`gradients.py`).

A compiled network is code that one compiler wrote and another translated, and either can be wrong
without an error. GCC 12 at -O3 is an example: for processors with AVX-512 it mistranslates
PyTorch's transposition of 32×32 bf16 numbers (with -fno-tree-slp-vectorize it does not), so that
networks of one attention head get gradients that are not numbers. So a CPU's code is tried once
more in narrower vectors, which share none of that: on an Intel Xeon with AMX a step of 32 channels
then takes 0.74 of its time without compiling (0.65 in wide vectors that are translated right).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from imagen_fast.errors import TrainingError
from imagen_fast.training.gradients import Pictures, difference
from imagen_fast.training.precision import Precision

# Options of torch.compile, in the order in which they are tried on a CPU.
OPTIONS: tuple[dict[str, int], ...] = ({}, {"cpp.simdlen": 256})


def compiled(
    network: Pictures,
    parameters: Sequence[nn.Parameter],
    low: Tensor,
    precision: Precision,
    compile: Literal["auto", True],
) -> Pictures:
    """The network compiled, if its gradients are right.

    They are compared on `low`, a batch (N, 3, p, p) as it is trained on; see `difference`.

    Where it cannot be compiled or its gradients are wrong, `auto` warns and gives the network
    back as it was.

    Raises:
        TrainingError: the same, if `compile` is True.
    """
    for options in OPTIONS if low.device.type == "cpu" else OPTIONS[:1]:
        fast: Pictures = torch.compile(network, options={**options})
        try:
            wrong = difference(network, fast, parameters, low, precision)
        except Exception as error:  # of tracing, generating code or the C++ compiler
            reason = str(error).strip().splitlines() or [type(error).__name__]
            problem = f"the network cannot be compiled ({reason[0]})"
        else:
            if wrong is None:
                return fast
            problem = f"the compiled network gives {wrong}"
    if compile == "auto":
        warnings.warn(f"{problem}; training without compiling", stacklevel=2)
        return network
    raise TrainingError(
        f"{problem}; set run.compile to false, or to 'auto' to compile where that is right, or "
        "name another C++ compiler in $CXX"
    )
