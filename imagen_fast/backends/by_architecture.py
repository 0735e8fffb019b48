"""Backends that know our architectures instead of graphs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from imagen_fast.backends.base import Backend, Tiles
from imagen_fast.backends.levels import Levels
from imagen_fast.errors import BackendError


class ByArchitecture(Backend):
    """Turns names of the family's and the listing's graphs into what these backends compute."""

    def compute(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]:
        """See `Backend.run`."""
        if self.spec.architecture == "listing":
            return {"rows": self.compute_rows(given["rows"][:, 0])[:, None]}
        if list(wanted) == ["picture"] and list(given) == ["image"]:
            return {"picture": self.compute_picture(given["image"])}
        path = "sample" if wanted[0].startswith("sample") else "picture"
        start, context = ("latent", "latent.context") if path == "sample" else ("image", "context")
        levels = range(len(self.spec.levels))
        if start not in given:
            raise BackendError(f"the model's input {start!r} is needed and was not given")
        if any(array.dtype != "float32" for array in given.values()):
            raise BackendError("bytes are for the finest picture alone; expected float32")
        maps = [given[name] for i in levels if (name := f"{context}.{i}") in given]
        if maps and len(maps) != len(levels):
            raise BackendError(
                f"backend {self.name!r} takes a context of {len(levels)} feature maps, one for "
                f"each level; {len(maps)} were given"
            )
        features = wanted[0].startswith("features")
        names = [path, *(f"{path}.{i}" for i in levels[1:])]
        if features:
            names = [f"features.{i}" for i in levels]
        if unknown := set(wanted) - set(names):
            raise BackendError(
                f"backend {self.name!r} does not compute {sorted(unknown)[0]!r} together with "
                f"{names[0]!r}; choose backend native"
            )
        results = self.compute_levels(
            Levels(given[start], maps or None, latent=path == "sample", features=features)
        )
        return {name: x for name, x in zip(names, results, strict=True) if name in wanted}

    @abstractmethod
    def compute_picture(self, tiles: Tiles) -> Tiles:
        """(N, H, W, 3) uint8 or float32 in [0, 1] → (N, s·H, s·W, 3) of the same dtype, clamped."""

    @abstractmethod
    def compute_rows(self, x: Tiles) -> Tiles:
        """A listing's rows (N, T, d_model) float32 → the same shape."""

    @abstractmethod
    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """Pictures or feature maps of every level, finest first."""
