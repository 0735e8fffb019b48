"""What may be asked of all levels of a model at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import BackendError
from imagen_fast.spec import ModelSpec

# (N, H, W, C), C-contiguous or not: pictures in uint8 or float32 from 0 to 1, anything else float32
Tiles = NDArray[Any]
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

    def check(self, spec: ModelSpec) -> None:
        """Raise BackendError if the arrays are not what the model takes."""
        channels = spec.latent_channels if self.latent else spec.image_channels
        _check("the input", self.given, (None, None, None, channels))
        if self.context is None:
            return
        shapes = self.feature_shapes(spec)
        if len(self.context) != len(shapes):
            raise BackendError(
                f"the context has {len(self.context)} feature maps; expected {len(shapes)}, one "
                "for each level"
            )
        for array, shape in zip(self.context, shapes, strict=True):
            _check("a feature map of the context", array, shape)


def _check(name: str, array: Tiles, shape: tuple[int | None, ...]) -> None:
    """None in a shape stands for any size but 0."""
    if not isinstance(array, np.ndarray):
        raise BackendError(f"{name} is a {type(array).__name__}; expected a NumPy array")
    fits = array.ndim == len(shape) and 0 not in array.shape
    if not fits or any(x not in (None, y) for x, y in zip(shape, array.shape, strict=True)):
        expected = ", ".join("any" if x is None else str(x) for x in shape)
        raise BackendError(f"{name} has shape {array.shape}; expected ({expected})")
    if array.dtype != np.float32:
        raise BackendError(f"{name} is {array.dtype}; expected float32")
