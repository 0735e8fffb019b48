"""What a model makes of a picture laid over it: so much of the one, and the rest of the other."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast import catalogue
from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError, WeightsError
from imagen_fast.image.array import from_array
from imagen_fast.image.given import picture_of
from imagen_fast.image.picture import Picture
from imagen_fast.loading import check_makes_pictures
from imagen_fast.model_file import read_header
from imagen_fast.samples import Samples
from imagen_fast.task import Task
from imagen_fast.tasks.single import PathLike


def model_for(task: Task, model: PathLike | None, backend: str = "auto") -> PathLike:
    """The model, which has to be of a task that keeps sizes; the shipped one if it is None.

    Raises:
        WeightsError: none is shipped; or there is no such model, or it is of another task.
    """
    if model is None:
        return catalogue.for_task(task, 1)
    path = catalogue.resolve(model)
    header = read_header(path, backend)
    check_makes_pictures(path, header.graph)
    if header.task is not task:
        raise WeightsError(
            f"model {os.fspath(model)!r} {header.task.does(header.graph.scale)}; expected one that "
            f"{task.verb}s"
        )
    return model


def check_strength(strength: float) -> None:
    """Raise ImageError unless it is a number from 0 to 1."""
    if not isinstance(strength, Real) or not 0 <= float(strength) <= 1:
        raise ImageError(f"strength is {strength!r}; expected a number from 0 to 1")


class LaidOver(ABC):
    """An engine whose picture is laid over the one that it got, `strength` of it.

    Attributes:
        scale: the engine's.
    """

    def __init__(self, engine: Engine, strength: float) -> None:
        self._engine, self._strength = engine, np.float32(strength)
        self.scale = engine.scale

    @property
    def reruns(self) -> int:
        """See `Engine`."""
        return self._engine.reruns

    def __call__(self, image: Any) -> Any:
        """A Pillow image or an array, as `Engine.__call__`."""
        if isinstance(image, np.ndarray):
            return self._array(image)
        picture = picture_of(image)
        from imagen_fast.image.pillow import to_pil

        rows = np.concatenate(list(self.stream(picture)))
        channels = rows.shape[2] - (picture.alpha is not None)
        alpha = None if picture.alpha is None else rows[..., channels]
        return to_pil(Picture(rows[..., :channels], alpha, picture.metadata))

    @abstractmethod
    def stream(
        self, picture: Picture, progress: Callable[[float], None] | None = None
    ) -> Iterator[Samples]:
        """The resulting picture's rows, as `Engine.stream`."""

    def _mixed(self, before: Samples, after: Samples) -> Samples:
        """Rows of the picture and of what the model makes of it."""
        if self._strength == 1:
            return after
        mixed = before + self._strength * (after.astype(np.float32) - before)
        rounded: Samples = np.rint(mixed).astype(before.dtype)
        return rounded

    def _array(self, image: NDArray[Any]) -> NDArray[Any]:
        color, alpha = from_array(image)
        floats = image.dtype == np.float32
        if floats:  # in steps of 1/65535
            color = sixteen_bits(color)
            alpha = None if alpha is None else sixteen_bits(alpha)
        rows = np.concatenate(list(self.stream(Picture(color, alpha))))
        if rows.shape[2] == 1 and image.ndim == 2:
            rows = rows[..., 0]
        return rows / np.float32(65535) if floats else rows


def sixteen_bits(samples: Samples) -> Samples:
    """Floats from 0 to 1 as uint16."""
    whole: Samples = np.rint(samples * np.float32(65535)).astype(np.uint16)
    return whole
