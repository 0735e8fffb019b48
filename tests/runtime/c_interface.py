"""The C API from Python, by ctypes: what a program in C would do, on NumPy arrays."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint64,
    c_void_p,
)
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast import c_library

OK, INVALID, BAD_MODEL, UNSUPPORTED, NO_MEMORY, NOT_FINITE, CANCELLED, INTERNAL, DEVICE_FAILED = (
    range(9)
)
PRECISIONS = {"auto": 0, "fp32": 1, "bf16": 2}
UINT8, FLOAT32 = 1, 2
NONE = -1

Samples = NDArray[Any]


class Options(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("precision", c_int32),
        ("threads", c_int32),
        ("isa", c_char_p),
        ("cores", POINTER(c_int32)),
        ("core_count", c_size_t),
        ("spin_us", c_int32),
        ("tile", c_int32),
        ("overlap", c_int32),
        ("reserved", c_int32),
        ("memory", c_uint64),
        ("device", c_char_p),
    )


class Picture(ctypes.Structure):
    """imagen_fast_input and imagen_fast_output."""

    _fields_ = (
        ("size", c_size_t),
        ("data", c_void_p),
        ("type", c_int32),
        ("channels", c_int32),
        ("images", c_int64),
        ("height", c_int64),
        ("width", c_int64),
        ("pixel_stride", c_int64),
        ("row_stride", c_int64),
        ("image_stride", c_int64),
        ("name", c_char_p),
    )


class Info(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("name", c_char_p),
        ("channels", c_int32),
        ("picture", c_int32),
        ("optional", c_int32),
        ("of", c_int32),
        ("halvings", c_int32),
        ("factor", c_int32),
        ("margin", c_int32),
    )


CANCELLED_CALLBACK = ctypes.CFUNCTYPE(c_int32, c_void_p)
PROGRESS_CALLBACK = ctypes.CFUNCTYPE(None, c_double, c_void_p)


class RunOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("cancelled", CANCELLED_CALLBACK),
        ("progress", PROGRESS_CALLBACK),
        ("user", c_void_p),
    )


def library() -> ctypes.CDLL:
    lib = ctypes.CDLL(str(c_library.shared()))
    for name in ("last_error", "status_text", "version_text", "name", "isa", "precision"):
        getattr(lib, f"imagen_fast_{name}").restype = c_char_p
    for name in ("name", "isa", "precision", "scale", "channels", "threads", "overlap", "free"):
        getattr(lib, f"imagen_fast_{name}").argtypes = [c_void_p]
    for name in ("exact_overlap", "reruns", "cancel"):
        getattr(lib, f"imagen_fast_{name}").argtypes = [c_void_p]
    lib.imagen_fast_reruns.restype = c_int64
    lib.imagen_fast_metadata.restype = c_char_p
    lib.imagen_fast_metadata.argtypes = [c_void_p, c_char_p]
    lib.imagen_fast_memory.argtypes = [c_void_p, c_int32, c_int64, c_int64, POINTER(c_uint64)]
    lib.imagen_fast_load.argtypes = [c_char_p, c_void_p, c_void_p]
    lib.imagen_fast_load_memory.argtypes = [c_void_p, c_size_t, c_void_p, c_void_p]
    for name in ("input", "output"):
        getattr(lib, f"imagen_fast_{name}_count").argtypes = [c_void_p]
        getattr(lib, f"imagen_fast_{name}_info").argtypes = [c_void_p, c_int32, POINTER(Info)]
    arrays = [c_void_p, POINTER(Picture), c_size_t, POINTER(Picture), c_size_t]
    lib.imagen_fast_sizes.argtypes = [*arrays, POINTER(c_uint64)]
    lib.imagen_fast_run_graph.argtypes = [*arrays, c_void_p]
    for name in ("run", "run_untiled"):
        getattr(lib, f"imagen_fast_{name}").argtypes = [c_void_p] * 4
    return lib


class Failed(Exception):  # noqa: N818
    """A call's status and message."""

    def __init__(self, lib: ctypes.CDLL, status: int) -> None:
        self.status = status
        super().__init__(lib.imagen_fast_last_error().decode())


def options(
    precision: str = "auto",
    isa: str = "",
    cores: list[int] | None = None,
    device: str = "",
    **others: int,
) -> Options:
    return Options(
        ctypes.sizeof(Options),
        precision=PRECISIONS[precision],
        isa=isa.encode() or None,
        device=device.encode() or None,
        cores=(c_int32 * len(cores))(*cores) if cores else None,
        core_count=len(cores or []),
        **others,
    )


def picture(samples: Samples, name: str | None = None) -> Picture:
    """(N, H, W, C), a view of any strides but of the samples of a pixel, as it is."""
    assert samples.strides[3] == samples.itemsize
    n, h, w, c = samples.shape
    kind = UINT8 if samples.dtype == np.uint8 else FLOAT32
    data = samples.__array_interface__["data"][0]
    image_stride, row_stride, pixel_stride, _ = samples.strides
    strides = (pixel_stride, row_stride, image_stride)
    called = None if name is None else name.encode()
    return Picture(ctypes.sizeof(Picture), data, kind, c, n, h, w, *strides, called)


class Engine:
    """Raises Failed where the library fails."""

    def __init__(self, lib: ctypes.CDLL, model: str | os.PathLike[str] | bytes, **how: Any) -> None:
        self.lib, self.handle = lib, c_void_p()
        wanted = options(**how)
        if isinstance(model, bytes):
            self.check(
                lib.imagen_fast_load_memory(model, len(model), byref(wanted), byref(self.handle))
            )
        else:
            path = os.fsencode(model)
            self.check(lib.imagen_fast_load(path, byref(wanted), byref(self.handle)))

    def check(self, status: int) -> None:
        if status != OK:
            raise Failed(self.lib, status)

    def __getattr__(self, name: str) -> Any:
        """`scale`, `precision` and so on."""
        value = getattr(self.lib, f"imagen_fast_{name}")(self.handle)
        return value.decode() if isinstance(value, bytes) else value

    def run_into(
        self,
        samples: Samples,
        out: Samples,
        untiled: bool = False,
        cancelled: Callable[[], int] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        watch = RunOptions(ctypes.sizeof(RunOptions))
        if cancelled:
            watch.cancelled = CANCELLED_CALLBACK(lambda user: cancelled())
        if progress:
            watch.progress = PROGRESS_CALLBACK(lambda done, user: progress(done))
        run = self.lib.imagen_fast_run_untiled if untiled else self.lib.imagen_fast_run
        given, taken = picture(samples), picture(out)
        self.check(run(self.handle, byref(given), byref(taken), byref(watch)))

    def __call__(self, samples: Samples, **how: Any) -> Samples:
        """(N, H, W, C) or (H, W, C) → the same, enlarged."""
        batch = samples if samples.ndim == 4 else samples[None]
        n, h, w, c = batch.shape
        out = np.full((n, self.scale * h, self.scale * w, c), 77, batch.dtype)
        self.run_into(batch, out, **how)
        return out if samples.ndim == 4 else out[0]

    def infos(self, which: str) -> list[Info]:
        """Of all inputs, or of all outputs."""
        infos = []
        for number in range(getattr(self, f"{which}_count")):
            info = Info(ctypes.sizeof(Info))
            describe = getattr(self.lib, f"imagen_fast_{which}_info")
            self.check(describe(self.handle, number, byref(info)))
            infos.append(info)
        return infos

    def sizes(self, given: dict[str, Samples], wanted: list[str]) -> dict[str, Samples]:
        """Arrays to compute outputs into, and in `bytes_needed` what that will take."""
        inputs = [picture(x, name) for name, x in given.items()]
        outputs = (Picture * len(wanted))()
        for output, name in zip(outputs, wanted, strict=True):
            output.size, output.name = ctypes.sizeof(Picture), name.encode()
        found = c_uint64()
        self.check(
            self.lib.imagen_fast_sizes(
                self.handle, (Picture * len(inputs))(*inputs), len(inputs), outputs, len(outputs),
                byref(found),
            )
        )  # fmt: skip
        self.bytes_needed = found.value
        types = {UINT8: np.uint8, FLOAT32: np.float32}
        return {
            name: np.full((x.images, x.height, x.width, x.channels), 77, types[x.type])
            for name, x in zip(wanted, outputs, strict=True)
        }

    def run_graph(
        self, given: dict[str, Samples], wanted: list[str] | dict[str, Samples]
    ) -> dict[str, Samples]:
        """Outputs by name, computed into the arrays that are given for them, if they are."""
        results = wanted if isinstance(wanted, dict) else self.sizes(given, wanted)
        inputs = [picture(x, name) for name, x in given.items()]
        outputs = [picture(x, name) for name, x in results.items()]
        self.check(
            self.lib.imagen_fast_run_graph(
                self.handle, (Picture * len(inputs))(*inputs), len(inputs),
                (Picture * len(outputs))(*outputs), len(outputs), None,
            )
        )  # fmt: skip
        return results

    def memory(self, height: int, width: int) -> int:
        """For pictures of bytes."""
        found = c_uint64()
        self.check(self.lib.imagen_fast_memory(self.handle, UINT8, height, width, byref(found)))
        return found.value

    def close(self) -> None:
        self.lib.imagen_fast_free(self.handle)
        self.handle = c_void_p()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


FORMATS = {"rgb": 1, "bgr": 2, "nv12": 3, "i420": 4}
MATRICES = {"": 0, "bt601": 1, "bt709": 2, "bt2020": 3}


class StreamOptions(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("width", c_int64),
        ("height", c_int64),
        ("format", c_int32),
        ("out_format", c_int32),
        ("matrix", c_int32),
        ("full_range", c_int32),
    )


class Frame(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("planes", c_void_p * 3), ("strides", c_int64 * 3))


def frame(samples: Samples, layout: str) -> Frame:
    """A frame in one array, as `imagen_fast.streaming` has them."""
    address = samples.__array_interface__["data"][0]
    made = Frame(ctypes.sizeof(Frame))
    if layout in ("rgb", "bgr"):
        made.planes[0], made.strides[0] = address, samples.strides[0]
        return made
    height, width = 2 * samples.shape[0] // 3, samples.shape[1]
    made.planes[0], made.planes[1] = address, address + height * width
    if layout == "i420":
        made.planes[2] = address + height * width + (height // 2) * (width // 2)
    return made


class Stream:
    """`imagen_fast_stream_*` on an `Engine`."""

    def __init__(
        self,
        engine: Engine,
        width: int,
        height: int,
        format: str = "rgb",
        out_format: str = "",
        matrix: str = "",
        full_range: int = 0,
    ) -> None:
        self.engine, self.handle = engine, c_void_p()
        self.layouts = format, out_format or format
        lib = engine.lib
        lib.imagen_fast_stream_open.argtypes = [c_void_p, POINTER(StreamOptions), c_void_p]
        lib.imagen_fast_stream_push.argtypes = [c_void_p, POINTER(Frame), POINTER(Frame), c_void_p]
        lib.imagen_fast_stream_close.argtypes = [c_void_p]
        how = StreamOptions(
            ctypes.sizeof(StreamOptions),
            width,
            height,
            FORMATS.get(format, 9),
            FORMATS.get(out_format, 0),
            MATRICES.get(matrix, 9),
            full_range,
        )
        engine.check(lib.imagen_fast_stream_open(engine.handle, byref(how), byref(self.handle)))

    def push(self, samples: Samples, out: Samples) -> Samples:
        given, taken = frame(samples, self.layouts[0]), frame(out, self.layouts[1])
        self.push_frames(given, taken)
        return out

    def push_frames(self, given: Frame, taken: Frame) -> None:
        push = self.engine.lib.imagen_fast_stream_push
        self.engine.check(push(self.handle, byref(given), byref(taken), None))

    def close(self) -> None:
        self.engine.lib.imagen_fast_stream_close(self.handle)
        self.handle = c_void_p()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
