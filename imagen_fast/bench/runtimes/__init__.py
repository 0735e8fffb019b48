"""What can run a network: this project's backends, and the runtimes that people use instead.

A runtime is a module here with a function `ready`, imported only in its contestants' processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import BACKENDS, backend_class
from imagen_fast.extras import install

if TYPE_CHECKING:
    from imagen_fast.bench.contestant import Contestant

Images = NDArray[np.float32]  # (N, H, W, 3), in [0, 1]
Run = Callable[[], Images]  # → (N, s·H, s·W, 3), clamped
Ready = Callable[["Contestant", Images, str], tuple[Run, str]]

FP32 = ("fp32",)
BOTH = ("fp32", "bf16")
HALF = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Runtime:
    """One way of running networks.

    Attributes:
        name: as options and tables have it.
        module: of this package, which has `ready`: it makes a contestant ready for images and
            says which instruction set it uses, "" if it does not know.
        library: the package that it needs.
        reads: what `ready` is handed beside the images: a bundle's path, an ONNX file of the
            images' shape, or the network's name.
        precisions: that it computes in, by the kind of device; a kind that is missing it
            does not serve.
        settings: how it is set to be at its best.
        several: for batches of more than one picture only, which it runs singly, all at once.
        extra: of pyproject.toml, that brings the library.
    """

    name: str
    module: str
    library: str
    reads: Literal["bundle", "onnx", "network"]
    precisions: Mapping[str, tuple[str, ...]]
    settings: str = ""
    several: bool = False
    extra: str = "bench"

    def missing(self) -> str | None:
        """What this machine lacks for it, without importing anything; None if nothing."""
        if find_spec(self.library) is None:
            return f"{self.library} is not installed; {install(self.extra)}"
        return None

    @property
    def ready(self) -> Ready:
        """The module's function."""
        module = import_module(f"{__name__}.{self.module}")
        return cast("Ready", module.ready)


PEERS = {
    runtime.name: runtime
    for runtime in (
        Runtime(
            "openvino", "openvino", "openvino", "onnx", {"cpu": BOTH}, "latency hint, one request"
        ),
        Runtime(
            "openvino-throughput",
            *("openvino", "openvino", "onnx", {"cpu": BOTH}),
            settings="throughput hint, as many requests as it asks for",
            several=True,
        ),
        Runtime(
            "onnxruntime",
            *("onnxruntime", "onnxruntime", "onnx", {"cpu": FP32, "cuda": FP32}),
            settings="all graph optimisations; the CPU or the CUDA provider",
        ),
        Runtime(
            "tensorrt",
            *("onnxruntime", "onnxruntime", "onnx", {"cuda": HALF}),
            settings="ONNX Runtime's TensorRT provider",
        ),
        Runtime(
            "torch",
            *("pytorch", "torch", "network", {"cpu": BOTH, "cuda": HALF}),
            settings="eager, channels_last, weights in the precision",
            extra="torch",
        ),
        Runtime(
            "torch-compile",
            *("pytorch", "torch", "network", {"cpu": BOTH, "cuda": HALF}),
            settings="as torch, compiled; max-autotune with graphs on CUDA",
            extra="torch",
        ),
    )
}
# This project's backends, but those that are a runtime above on a file of ours.
OURS = tuple(name for name in BACKENDS if name not in PEERS)
# Why others are not among them.
CANNOT = {
    "ncnn": "cannot run this family: its converter pnnx (20261020) has no layer for the reshapes "
    "of window attention",
}
# What takes a backend's time to import.
LIBRARIES = {
    "native": "imagen_fast._native",
    **dict.fromkeys(("triton", "eager", "compiled"), "torch"),
}
YARDSTICK = Runtime("yardstick", "yardstick", "numpy", "network", MappingProxyType({"cpu": FP32}))


def find(name: str) -> Runtime:
    """The runtime called `name`: a peer, a backend of this project, or the yardstick."""
    if name in PEERS:
        return PEERS[name]
    if name == YARDSTICK.name:
        return YARDSTICK
    library = LIBRARIES.get(name, BACKENDS[name][0])
    precisions = {kind: BOTH if kind == "cpu" else HALF for kind in backend_class(name).kinds}
    return Runtime(name, "own", library, "bundle", precisions)
