"""What can run a network: this project's backends, and the runtimes that people use instead.

A runtime is a row of a table, and a function that makes a contestant ready for images and says
which instruction set it uses ("" if it does not know). The function is called, and imports its
library, in the contestant's own process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import BACKENDS, backend_class
from imagen_fast.bundle import load_bundle
from imagen_fast.errors import BenchmarkError
from imagen_fast.extras import BUILD_AGAIN, install

Images = NDArray[np.float32]  # (N, H, W, 3), in [0, 1]
Run = Callable[[], Images]  # → (N, s·H, s·W, 3), clamped


@dataclass(frozen=True)
class Contestant:
    """A runtime with its settings."""

    runtime: str
    precision: str
    threads: int
    device: str = "cpu"


def own(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """One of this project's backends, with the memory for the images taken."""
    backend = backend_class(c.runtime)(
        load_bundle(Path(file)), device=c.device, precision=c.precision, threads=c.threads
    )
    if c.runtime == "native":  # of the others `prepare` is the first run
        backend.prepare(images.shape[:3])
    return lambda: backend.run(images), backend.isa or ""


def openvino(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """OpenVINO on the CPU, compiled for the images' shape, with its hints for latency."""
    import openvino as ov

    x = _planes(images)
    core = ov.Core()
    model = core.read_model(file)
    model.reshape(x.shape)
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(c.precision, c.precision),
        "INFERENCE_NUM_THREADS": c.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: _pictures(request.infer({0: x})[0]), ""


def onnxruntime(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """ONNX Runtime on the CPU, a session with all graph optimisations."""
    import onnxruntime as ort

    x, options = _planes(images), ort.SessionOptions()
    options.intra_op_num_threads = c.threads
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: _pictures(session.run(None, {name: x})[0]), ""


def ncnn(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """The ncnn package on the CPU, on a .param file and the .bin beside it, picture by picture."""
    import ncnn as package

    net = package.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = c.threads, False
    net.opt.use_bf16_storage = c.precision == "bf16"
    if net.load_param(file) or net.load_model(str(Path(file).with_suffix(".bin"))):
        raise BenchmarkError("ncnn cannot read it, or the .bin beside it")
    planes, picture, enlarged = _planes(images), net.input_names()[0], net.output_names()[-1]

    def run() -> Images:
        made = []
        for x in planes:
            extractor = net.create_extractor()
            extractor.input(picture, package.Mat(x))
            made.append(np.array(extractor.extract(enlarged)[1]))  # (3, s·H, s·W)
        return _pictures(np.stack(made))

    return run, ""


def _planes(images: Images) -> Images:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))  # (N, 3, H, W)


def _pictures(planes: Images) -> Images:
    pictures: Images = planes.clip(0, 1).transpose(0, 2, 3, 1)  # (N, s·H, s·W, 3)
    return pictures


@dataclass(frozen=True)
class Runtime:
    """One way of running networks.

    Attributes:
        ready: takes the contestant, the images, and the path of what it reads.
        library: the package that it needs.
        reads: a bundle, an ONNX file, or the .param file that the network came in.
        precisions: that it computes in.
        kinds: of devices that it serves.
        extra: of pyproject.toml, that brings the library; "" for what is always there.
    """

    ready: Callable[[Contestant, Images, str], tuple[Run, str]]
    library: str
    reads: Literal["bundle", "onnx", "param"] = "onnx"
    precisions: tuple[str, ...] = ("fp32",)
    kinds: tuple[str, ...] = ("cpu",)
    extra: str = "bench"

    def missing(self) -> str | None:
        """What this machine lacks for it, without importing anything; None if nothing."""
        if find_spec(self.library) is None:
            remedy = install(self.extra) if self.extra else BUILD_AGAIN
            return f"{self.library} is not installed; {remedy}"
        return None


PEERS = {
    "openvino": Runtime(openvino, "openvino", precisions=("fp32", "bf16")),
    "onnxruntime": Runtime(onnxruntime, "onnxruntime"),
    "ncnn": Runtime(ncnn, "ncnn", "param", precisions=("fp32", "bf16")),
}
# The library that takes a backend's time to import, and the extra that brings it.
LIBRARIES = {
    "native": ("imagen_fast._native", ""),
    "tensorrt": ("tensorrt", "tensorrt"),
    "triton": ("triton", "triton"),
    "fake": ("numpy", ""),
}
# This project's backends, but that which a runtime above is on a file of ours; the most
# interesting first, since time may not reach for the rest.
OURS = tuple(name for name in BACKENDS if name not in PEERS)


def find(name: str) -> Runtime:
    """The runtime called `name`: a peer, or a backend of this project."""
    if name in PEERS:
        return PEERS[name]
    kind = backend_class(name)
    library, extra = LIBRARIES.get(name, ("torch", "torch"))
    return Runtime(own, library, "bundle", kind.precisions, kind.kinds, extra)
