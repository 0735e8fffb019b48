"""Frames in order through a model that hands something on from each to the next."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from imagen_fast.graph import Graph
from imagen_fast.graph.graph import PREVIOUS
from imagen_fast.image.color_bounds import bound_colors
from imagen_fast.image.given import rgb_of
from imagen_fast.image.picture import Picture
from imagen_fast.image.resample import resize
from imagen_fast.samples import Samples, full, rounded

# A frame shows another scene if squares of so many pixels differ in green by so much on average.
SQUARE, CUT = 8, 0.1


class Model(Protocol):
    """An engine."""

    graph: Graph
    scale: int

    def in_parts(self, given: dict[str, Samples], names: Sequence[str]) -> dict[str, Samples]:
        """As `Engine.in_parts`."""


class Recurrent:
    """Calling it gives the result of a frame, with the one before in mind; threads take turns.

    After a scene cut, where another size comes and after `forget` nothing came before.
    """

    def __init__(self, model: Model) -> None:
        self._model, self._lock = model, threading.Lock()
        self._image, self._picture = next(iter(model.graph.inputs)), next(iter(model.graph.outputs))
        self._channels = model.graph.inputs[PREVIOUS].channels
        self._before: tuple[Samples, Samples] | None = None  # its squares, and what it handed on

    def forget(self) -> None:
        """The next frame is computed as if none came before it."""
        with self._lock:
            self._before = None

    @overload
    def __call__(self, frame: Picture) -> Picture: ...
    @overload
    def __call__(self, frame: Samples) -> Samples: ...

    def __call__(self, frame: Picture | Samples) -> Picture | Samples:
        """A `Picture`, or (H, W, 3) uint8, to s times the size; raises as `Engine.outputs`."""
        if isinstance(frame, np.ndarray):
            return self._computed(frame)
        color, alpha = frame.color, frame.alpha
        plain = color.dtype == np.uint8 and color.shape[2] == 3 and alpha is None
        made = self._computed(color if plain else rgb_of(frame))
        made = made if plain else _as(color.dtype, made)[..., : color.shape[2]]
        if alpha is not None:
            large = resize(alpha, *made.shape[:2]) / np.float32(full(alpha.dtype))
            alpha = _as(alpha.dtype, large)
        return Picture(made, alpha, frame.metadata)

    def _computed(self, rgb: Samples) -> Samples:
        """(H, W, 3) uint8 or float32 from 0 to 1 → the same kind."""
        with self._lock:
            seen = squares(rgb)
            if self._before is None or is_cut(self._before[0], seen):
                previous = np.zeros((*rgb.shape[:2], self._channels), np.float32)
            else:
                previous = self._before[1]
            given = {self._image: rgb, PREVIOUS: previous}
            found = self._model.in_parts(given, [self._picture, PREVIOUS])
            self._before = seen, found[PREVIOUS]
        bound_colors(rgb[None], found[self._picture][None])
        return found[self._picture]


def squares(rgb: Samples) -> NDArray[np.float32]:
    """Means of green over whole squares, from 0 to 1, of a frame (H, W, 3)."""
    height, width = (min(SQUARE, side) for side in rgb.shape[:2])
    rows, columns = rgb.shape[0] // height, rgb.shape[1] // width
    green = rgb[: rows * height, : columns * width, 1]
    means: NDArray[np.float32] = green.reshape(rows, height, columns, width).mean(
        (1, 3), dtype=np.float32
    )
    return means / np.float32(255) if rgb.dtype == np.uint8 else means


def is_cut(before: NDArray[np.float32], after: NDArray[np.float32]) -> bool:
    """Whether frames of which these are the `squares` show two scenes, or have two sizes."""
    return before.shape != after.shape or float(np.abs(after - before).mean()) > CUT


def _as(dtype: np.dtype[Any], found: NDArray[np.float32]) -> Samples:
    return rounded(np.clip(found, 0, 1) * np.float32(full(dtype)), dtype)
