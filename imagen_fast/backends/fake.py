"""A backend without a network: it repeats pixels. For tests of everything around one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from imagen_fast.backends.base import Backend, Tiles


class Fake(Backend):
    """Nearest-neighbour enlargement of the first input; the weights are not looked at."""

    name: ClassVar[str] = "fake"
    kinds: ClassVar[tuple[str, ...]] = ("cpu",)

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        self.device = "cpu"
        self.precision = "fp32" if precision == "auto" else precision

    @classmethod
    def missing(cls) -> str | None:
        """Nothing."""
        return None

    @property
    def capacity(self) -> int:
        """A megapixel."""
        return 1 << 20

    def compute(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]:
        """Each pixel of the first array becomes s×s equal ones; other outputs are zeros."""
        tiles = next(iter(given.values()))
        first = next(iter(self.graph.outputs))
        outputs = {}
        for name in wanted:
            value = self.graph.values[self.graph.outputs[name].value]
            if name == first and self.graph.scale and value.channels == tiles.shape[3]:
                outputs[name] = self.repeated(tiles)
            else:
                of = given.get(value.grid.of, tiles)
                size = value.grid.size(*of.shape[1:3])
                outputs[name] = np.zeros((len(of), *size, value.channels), np.float32)
        return outputs

    def repeated(self, tiles: Tiles) -> Tiles:
        """(N, H, W, C) → (N, s·H, s·W, C)."""
        return tiles.repeat(self.graph.scale, axis=1).repeat(self.graph.scale, axis=2)
