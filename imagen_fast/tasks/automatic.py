"""Which of the shipped models enlarges a picture: the one for clean ones, or the one for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from imagen_fast import catalogue
from imagen_fast.engine import Engine
from imagen_fast.image.array import from_array
from imagen_fast.image.condition import harm
from imagen_fast.image.picture import Picture
from imagen_fast.samples import Samples


def automatic(
    clean: Engine, load: Callable[[Path], Engine], say: Callable[[str, str, str], object]
) -> Engine | Automatic:
    """`clean`, or if a model for pictures as they are is shipped, the choice between both.

    Args:
        load: called once, when the first picture needs it.
        say: told why a picture is not clean, which model takes it, and which does not.
    """
    real = catalogue.real(clean.scale)
    return Automatic(clean, real, load, say) if real else clean


class Automatic:
    """Takes pictures as an engine does.

    Attributes:
        scale: of both models.
    """

    def __init__(
        self,
        clean: Engine,
        real: Path,
        load: Callable[[Path], Engine],
        say: Callable[[str, str, str], object],
    ) -> None:
        self._clean, self._path, self._load, self._say = clean, real, load, say
        self._real: Engine | None = None
        self.scale = clean.scale

    @property
    def reruns(self) -> int:
        """See `Engine`, of both."""
        return self._clean.reruns + (self._real.reruns if self._real else 0)

    def __call__(self, image: Any) -> Any:
        """As `Engine.__call__`. Of arrays it is seen whether they are noisy."""
        if isinstance(image, np.ndarray):
            color = from_array(image, quiet=True)[0]  # the engine says it
            if color.dtype == np.float32:
                color = np.rint(color * np.float32(255)).astype(np.uint8)
            return self._for(Picture(color))(image)
        from PIL.Image import Image

        if not isinstance(image, Image):
            return self._clean(image)  # which says what is expected
        from imagen_fast.image.pillow import from_any_pil

        return self._for(from_any_pil(image))(image)

    def stream(
        self, picture: Picture, progress: Callable[[float], None] | None = None
    ) -> Iterator[Samples]:
        """As `Engine.stream`."""
        return self._for(picture).stream(picture, progress)

    def _for(self, picture: Picture) -> Engine:
        why = harm(picture)
        if not why:
            return self._clean
        if self._real is None:
            self._real = self._load(self._path)
        self._say(why, self._path.stem, self._clean.model)
        return self._real
