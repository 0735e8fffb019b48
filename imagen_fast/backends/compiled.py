"""The reference network compiled by `torch.compile`, once for every shape of tile."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, ClassVar

from imagen_fast.backends.eager import Eager

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# After this many shapes PyTorch would go on uncompiled; that is made an error instead.
SHAPES = 64


class Compiled(Eager):
    """As `Eager`, but every new shape of tiles is compiled first, which takes up to a minute."""

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

    def _forward(self, image: Tensor) -> Tensor:
        import torch._dynamo

        with torch._dynamo.config.patch(recompile_limit=SHAPES, fail_on_recompile_limit_hit=True):
            return super()._forward(image)
