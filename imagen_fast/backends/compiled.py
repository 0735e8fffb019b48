"""The graph compiled by `torch.compile`, once for every shape of tile."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, ClassVar

from imagen_fast.backends.eager import Eager

if TYPE_CHECKING:
    from torch import Tensor

    from imagen_fast.backends.eager import Forward

# How many shapes are kept compiled, in the whole process. PyTorch would run more uncompiled.
SHAPES = 64


class Compiled(Eager):
    """As `Eager`, but every new shape of tiles is compiled first, which takes up to a minute.

    After `SHAPES` shapes all compiled code of the process is dropped, and compiled anew as needed.
    """

    name: ClassVar[str] = "compiled"
    compiler: ClassVar[str] = "inductor"

    @classmethod
    def missing(cls) -> str | None:
        """PyTorch, or the C++ compiler that it compiles with."""
        if lacking := super().missing():
            return lacking
        if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
            return "torch.compile needs a C++ compiler; install g++ or clang++"
        return None

    def _ready(self, forward: Forward) -> Forward:
        import torch
        import torch._dynamo
        from torch._dynamo.exc import FailOnRecompileLimitHit

        compiled = torch.compile(forward, dynamic=False, backend=self.compiler)

        def run(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
            limit = {"recompile_limit": SHAPES, "fail_on_recompile_limit_hit": True}
            with torch._dynamo.config.patch(limit):
                try:
                    return compiled(inputs)
                except FailOnRecompileLimitHit:
                    torch._dynamo.reset()
                    return compiled(inputs)

        return run
