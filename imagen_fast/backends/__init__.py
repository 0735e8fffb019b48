"""The ways of running a model, and the one place where one of them is chosen."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from imagen_fast.backends.base import Backend, NonFiniteError
from imagen_fast.errors import BackendError

__all__ = ["BACKENDS", "Backend", "NonFiniteError", "backend_class", "choose"]

# Name → module and class; a module is imported only when its backend is looked at.
BACKENDS = {
    "native": ("imagen_fast.backends.native", "Native"),
    "eager": ("imagen_fast.backends.eager", "Eager"),
    "compiled": ("imagen_fast.backends.compiled", "Compiled"),
    "onnxruntime": ("imagen_fast.backends.onnxruntime", "OnnxRuntime"),
    "tensorrt": ("imagen_fast.backends.tensorrt", "TensorRT"),
    "fake": ("imagen_fast.backends.fake", "Fake"),
}

# What `auto` tries, the fastest first. `compiled` is not among them: it spends a minute of
# compilation on every shape of tile. Nor `onnxruntime` and
# `tensorrt`: the one works where one of these does, the other builds for minutes.
AUTO = ("native", "eager")
NVIDIA = Path("/proc/driver/nvidia/version")  # is there if a GPU's driver is loaded


def backend_class(name: str) -> type[Backend]:
    """The backend called `name`, whether or not this machine can run it.

    Raises:
        BackendError: there is no such backend; says which there are.
    """
    if name not in BACKENDS:
        raise BackendError(f"no backend {name!r}; choose auto or one of {', '.join(BACKENDS)}")
    module, attribute = BACKENDS[name]
    found: type[Backend] = getattr(import_module(module), attribute)
    return found


def choose(name: str, device: str = "auto") -> tuple[type[Backend], str]:
    """The backend to use, and why.

    "auto" takes the first of `AUTO` that this machine can run and that serves `device`, where
    "auto" means a GPU if there is one and a backend for it. Any other name is taken as an order:
    it is that backend or an error.

    Raises:
        BackendError: no such backend, or something is missing for it; says how to get it.
    """
    if name != "auto":
        found = backend_class(name)
        if missing := found.missing():
            raise BackendError(f"backend {name!r} cannot run here: {missing}")
        return found, "asked for"
    kind = device.partition(":")[0]
    if kind == "auto" and NVIDIA.exists():
        on_gpu = [backend_class(candidate) for candidate in AUTO]
        if any("cuda" in found.kinds and found.missing() is None for found in on_gpu):
            kind = "cuda"
    reasons: list[str] = []
    for candidate in AUTO:
        found = backend_class(candidate)
        missing = found.missing()
        if kind == "cuda" and "cuda" not in found.kinds:
            missing = "runs on the cpu only"
        if missing is None:
            passed = f", after {'; '.join(reasons)}" if reasons else ""
            return found, f"auto: the fastest that works here for device {device!r}{passed}"
        reasons.append(f"{candidate}: {missing}")
    raise BackendError(f"no backend can run here ({'; '.join(reasons)})")
