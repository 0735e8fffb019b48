"""What can run a network: this project's backends, and the runtimes that people use instead.

A runtime is a row of a table, and a module here whose function `ready` makes a contestant ready
for images and says which instruction set it uses ("" if it does not know). The module is imported
in the contestant's own process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import BACKENDS, backend_class
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


@dataclass(frozen=True)
class Runtime:
    """One way of running networks.

    Attributes:
        module: of this package, which has `ready`.
        library: the package that it needs.
        reads: what `ready` is handed beside the images: a bundle's path, or that of an ONNX file.
        precisions: that it computes in.
        kinds: of devices that it serves.
        extra: of pyproject.toml, that brings the library; "" for what is always there.
    """

    module: str
    library: str
    reads: Literal["bundle", "onnx"] = "onnx"
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
    "openvino": Runtime("openvino", "openvino", precisions=("fp32", "bf16")),
    "onnxruntime": Runtime("onnxruntime", "onnxruntime"),
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
    return Runtime("own", library, "bundle", kind.precisions, kind.kinds, extra)
