"""Where a network's feature maps lie while it runs: one piece of memory, cut up for a shape.

Of a level only the encoder's output outlives the level's own work, as the decoder's skip and
context; and the stem's output, as the long skip. Everything else is read once, by the operation
after the one that wrote it, so two places for work serve all levels in turn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ALIGNMENT = 256  # bytes: of every part, more than any load or copy engine asks for

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """The parts of a network's memory for one shape of input.

    Attributes:
        dtype: of all parts.
        kept: shapes of what is kept while others are computed.
        work: shapes that the two places for work take, by level.
        scratch: elements that an operation may need for itself.
    """

    dtype: torch.dtype
    kept: tuple[Shape, ...]
    work: tuple[Shape, ...]
    scratch: int

    @property
    def size(self) -> int:
        """Bytes altogether."""
        return sum(self._sizes())

    def _sizes(self) -> list[int]:
        """Bytes of what is kept, of the two places for work, and of the scratch memory."""
        work = max(map(math.prod, self.work))
        elements = [*map(math.prod, self.kept), work, work, self.scratch]
        item = self.dtype.itemsize
        return [-(-count * item // ALIGNMENT) * ALIGNMENT for count in elements]

    def place(self, memory: Tensor) -> Place:
        """The parts as tensors in `memory`: at least `size` bytes, uint8, one axis.

        Raises:
            ValueError: the memory is too small.
        """
        if memory.numel() < self.size:
            raise ValueError(f"{memory.numel()} bytes of memory; expected at least {self.size}")
        parts = [x.view(self.dtype) for x in memory[: self.size].split(self._sizes())]
        *kept, first, second, scratch = parts

        def views(part: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
            return [part[: math.prod(shape)].view(shape) for shape in shapes]

        return Place(
            kept=[views(x, [shape])[0] for x, shape in zip(kept, self.kept, strict=True)],
            work=(views(first, self.work), views(second, self.work)),
            scratch=scratch[: self.scratch],
        )


class Place:
    """Where operations write. Without memory of its own (`Place()`), they allocate."""

    def __init__(
        self,
        kept: Sequence[Tensor] = (),
        work: tuple[Sequence[Tensor], ...] = (),
        scratch: Tensor | None = None,
    ) -> None:
        self._kept, self._work, self._turn = kept, work, 0
        self.scratch = scratch

    def kept(self, index: int) -> Tensor | None:
        """For what is kept; None if it is to be allocated."""
        return self._kept[index] if self._kept else None

    def work(self, level: int) -> Tensor | None:
        """For the next operation's result, which is not where the last one's is."""
        if not self._work:
            return None
        self._turn = 1 - self._turn
        return self._work[self._turn][level]
