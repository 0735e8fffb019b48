"""The reference network compiled by `torch.compile`, once for every shape of tile."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, ClassVar

from imagen_fast.backends.eager import Eager

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# How many shapes are kept compiled, in the whole process. PyTorch would run more uncompiled.
SHAPES = 64


class Compiled(Eager):
    """As `Eager`, but every new shape of tiles is compiled first, which takes up to a minute.

    After `SHAPES` shapes all compiled code of the process is dropped, and compiled anew as needed.
    """

    name: ClassVar[str] = "compiled"

    @classmethod
    def missing(cls) -> str | None:
        """PyTorch, or the C++ compiler that it compiles with."""
        if lacking := super().missing():
            return lacking
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
            return "torch.compile needs a C++ compiler; install g++ or clang++"
        return None

    def _ready(self, network: torch.nn.Module) -> Any:
        import torch

        return torch.compile(network, dynamic=False)

    def _forward(self, x: Tensor) -> Tensor:
        import torch._dynamo
        from torch._dynamo.exc import FailOnRecompileLimitHit

        with torch._dynamo.config.patch(recompile_limit=SHAPES, fail_on_recompile_limit_hit=True):
            try:
                return super()._forward(x)
            except FailOnRecompileLimitHit:
                torch._dynamo.reset()
                return super()._forward(x)
