"""What backends on exported graphs have in common: float32 pictures, the finest one alone."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from imagen_fast.backends.base import NonFiniteError, Tiles
from imagen_fast.backends.by_architecture import ByArchitecture
from imagen_fast.backends.levels import Levels
from imagen_fast.errors import BackendError


class FloatGraph(ByArchitecture):
    """Runs a graph that takes and gives float32, not clamped, so that what is not finite is seen.

    `features`, `progressive` and `generate` are refused: the graph has no other output.
    """

    @abstractmethod
    def _enlarge(self, tiles: Tiles) -> Tiles:
        """(N, H, W, C) float32 in [0, 1] → (N, s·H, s·W, C) float32 as the graph gives it."""

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Run once on black."""
        self.compute_picture(np.zeros((*shape, self.spec.image_channels), np.uint8))

    def compute_picture(self, tiles: Tiles) -> Tiles:
        """See `Backend.run`."""
        bytes_ = tiles.dtype == np.uint8
        given = tiles.astype(np.float32) / np.float32(255) if bytes_ else tiles
        output = self._finite(self._enlarge(given)).clip(0, 1)
        if bytes_:
            output = np.rint(output * np.float32(255)).astype(np.uint8)
        return np.ascontiguousarray(output)

    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """Always raises BackendError."""
        raise BackendError(
            f"backend {self.name!r} gives the finest picture only; choose backend native or eager"
        )

    def _finite(self, output: Tiles) -> Tiles:
        if not np.isfinite(output).all():
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return output
