"""A backend without a network: it repeats pixels. For tests of everything around one."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from imagen_fast.backends.base import Tiles
from imagen_fast.backends.by_architecture import ByArchitecture
from imagen_fast.backends.levels import Levels


class Fake(ByArchitecture):
    """Nearest-neighbour enlargement by the spec's scale; the weights are not looked at."""

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

    def compute_picture(self, tiles: Tiles) -> Tiles:
        """Each pixel becomes s×s equal ones."""
        return tiles.repeat(self.spec.scale, axis=1).repeat(self.spec.scale, axis=2)

    def compute_rows(self, x: Tiles) -> Tiles:
        """A copy."""
        copy: Tiles = x.copy()
        return copy

    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """Zeros."""
        return [np.zeros(shape, np.float32) for shape in wanted.shapes(self.spec)]
