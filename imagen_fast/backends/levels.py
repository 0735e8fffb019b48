"""What may be asked of all levels of a model at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imagen_fast.backends.base import Tiles
from imagen_fast.spec import ModelSpec

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Levels:
    """Pictures or, with `features`, feature maps of every level, finest first.

    Attributes:
        given: a picture or, with `latent`, a latent at the coarsest level; float32.
        context: feature maps for the decoder's cross-attention, or None for the model's own.
    """

    given: Tiles
    context: Sequence[Tiles] | None = None
    latent: bool = False
    features: bool = False

    def feature_shapes(self, spec: ModelSpec) -> list[Shape]:
        """(N, H, W, C) of the levels' feature maps."""
        n, h, w, _ = self.given.shape
        sizes = [(h, w)]
        for _ in spec.levels[1:]:
            h, w = (2 * h, 2 * w) if self.latent else ((h + 1) // 2, (w + 1) // 2)
            sizes.append((h, w))
        if self.latent:
            sizes.reverse()
        return [(n, h, w, x.channels) for (h, w), x in zip(sizes, spec.levels, strict=True)]

    def shapes(self, spec: ModelSpec) -> list[Shape]:
        """(N, H, W, C) of what results."""
        features = self.feature_shapes(spec)
        if self.features:
            return features
        s, c = spec.scale, spec.image_channels
        return [(n, s * h, s * w, c) for n, h, w, _ in features]
