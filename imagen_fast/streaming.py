"""Frames of a running video, one after the other, each as soon as it comes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from imagen_fast import recurrent
from imagen_fast.errors import ImageError
from imagen_fast.image.yuv import MATRICES, Yuv, planes_of

FORMATS = ("rgb", "bgr", "nv12", "i420")
HD_HEIGHT = 576  # frames with more rows are taken for BT.709 unless it is said
Frame = NDArray[np.uint8]


class Model(recurrent.Model, Protocol):
    """An engine."""

    def __call__(self, image: Frame) -> Frame:
        """As `Engine.__call__`."""


class VideoStream:
    """Made by `Engine.stream_video`; a context manager. See there for its arguments.

    Latency is none: the result of a frame is there when `push` returns. `push` blocks until then,
    also while another thread's frame is computed; nothing is queued, so nobody waits for frames
    that are too old. A model for videos reads what it made of the frame before: frames are pushed
    in their order, and after a scene cut it begins anew.

    Attributes:
        shape, out_shape: of the arrays that `push` takes and gives.
        frames: how many were pushed.
    """

    def __init__(
        self,
        engine: Model,
        width: int,
        height: int,
        *,
        format: str = "rgb",
        out_format: str | None = None,
        matrix: str | None = None,
        full_range: bool = False,
    ) -> None:
        width, height = _side("width", width), _side("height", height)
        self._in, self._out = _format(format), _format(out_format or format)
        matrix = matrix or ("bt709" if height > HD_HEIGHT else "bt601")
        if matrix not in MATRICES:
            raise ImageError(f"matrix is {matrix!r}; expected one of {', '.join(MATRICES)}")
        self._yuv = Yuv(matrix, full_range)
        self.shape = _shape(self._in, width, height)
        self.out_shape = _shape(self._out, width * engine.scale, height * engine.scale)
        self._compute: Callable[[Frame], Frame] | None = (
            recurrent.Recurrent(engine) if engine.graph.recurrent else engine
        )
        self.frames = 0

    def push(self, frame: Frame, out: Frame | None = None) -> Frame:
        """The result of a frame.

        Args:
            frame: uint8: (H, W, 3) for rgb and bgr, (H + H/2, W) for nv12 and i420, as PyAV,
                OpenCV and GStreamer have them.
            out: where the result goes, of `out_shape` and contiguous; None for a new array.

        Raises:
            ImageError: an array of another shape or dtype, or the stream is closed.
            BackendError: as `Engine.run`.
        """
        if self._compute is None:
            raise ImageError("this stream is closed; open another")
        _check("the frame", frame, self.shape)
        if out is None:
            out = np.empty(self.out_shape, np.uint8)
        _check("out", out, self.out_shape)
        if not (out.flags.c_contiguous and out.flags.writeable):
            raise ImageError("out is read-only or not contiguous; expected an array like new")
        result = self._compute(self._to_rgb(frame))
        self._from_rgb(result, out)
        self.frames += 1
        return out

    def _to_rgb(self, frame: Frame) -> Frame:
        if self._in == "rgb":
            return frame
        if self._in == "bgr":
            return np.ascontiguousarray(frame[..., ::-1])
        return self._yuv.to_rgb(planes_of(np.ascontiguousarray(frame), self._in))

    def _from_rgb(self, result: Frame, out: Frame) -> None:
        if self._out in ("rgb", "bgr"):
            out[:] = result if self._out == "rgb" else result[..., ::-1]
        else:
            self._yuv.from_rgb(result, planes_of(out, self._out))

    def close(self) -> None:
        """Let go of the engine, which stays open."""
        self._compute = None

    def __enter__(self) -> VideoStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _side(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ImageError(f"{name} is {value!r}; expected a positive int")
    return number


def _format(name: str) -> str:
    if name not in FORMATS:
        raise ImageError(f"format is {name!r}; expected one of {', '.join(FORMATS)}")
    return name


def _shape(layout: str, width: int, height: int) -> tuple[int, ...]:
    if layout in ("rgb", "bgr"):
        return height, width, 3
    if width % 2 or height % 2:
        raise ImageError(f"{layout} frames of {width} × {height}: expected even sizes")
    return height + height // 2, width


def _check(name: str, array: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.shape != shape:
        found = f"{array.shape} of {array.dtype}" if isinstance(array, np.ndarray) else type(array)
        raise ImageError(f"{name} is {found}; expected {shape} of uint8")
