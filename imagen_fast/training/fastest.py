"""The form in which a network trains fastest here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from imagen_fast.training.compiled import compiled
from imagen_fast.training.fused import fused, native_training
from imagen_fast.training.gradients import Pictures, difference
from imagen_fast.training.precision import Wanted, faster

if TYPE_CHECKING:
    from imagen_fast._native import Training


def fastest(
    network: Pictures,
    module: nn.Module,
    low: Tensor,
    precision: Wanted,
    compile: Literal["auto", "kernels", True],
    say: Callable[[str], object],
) -> tuple[Pictures, Training | None]:
    """`network`, which computes by the layers of `module`, in another form: the same gradients.

    `compile` is `auto`: by the native engine's kernels, where some of the layers have one for this
    processor; else compiled, where that works; `say` is told. `kernels`: the same without the
    latter. True: compiled. The second result is the kernels, if these are what it computes by,
    which is in their precision.

    Raises:
        TrainingError: `compile` is True, and it cannot be compiled or that gives wrong gradients.
    """
    parameters = list(module.parameters())
    if compile is not True and low.device.type == "cpu":
        native = native_training(precision)
        fast = fused(network, module, native) if native else None
        if native and fast:
            wrong = difference(network, fast, parameters, low, native.precision)
            if wrong is None:
                say(f"the layers that can train by the engine's kernels ({native.isa})")
                return fast, native
            warnings.warn(f"the engine's kernels give {wrong}; training without", stacklevel=2)
    if compile == "kernels":
        return network, None
    say("compiling the network: the first step can take some minutes")
    return compiled(network, parameters, low, faster(precision, low.device), compile), None
