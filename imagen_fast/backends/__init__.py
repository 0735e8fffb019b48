"""The ways of running a model, and the one place where one of them is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

from imagen_fast.backends import options
from imagen_fast.backends.base import Backend, NonFiniteError
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError, OperationError

__all__ = [
    "BACKENDS",
    "Backend",
    "NonFiniteError",
    "backend_class",
    "candidates",
    "check",
    "choose",
    "make",
]

# Name → module and class; a module is imported only when its backend is looked at.
BACKENDS = {
    "native": ("imagen_fast.backends.native", "Native"),
    "triton": ("imagen_fast.backends.triton", "Triton"),
    "eager": ("imagen_fast.backends.eager", "Eager"),
    "compiled": ("imagen_fast.backends.compiled", "Compiled"),
    "onnxruntime": ("imagen_fast.backends.onnxruntime", "OnnxRuntime"),
    "tensorrt": ("imagen_fast.backends.tensorrt", "TensorRT"),
    "fake": ("imagen_fast.backends.fake", "Fake"),
}

# What `auto` tries, the fastest first. `compiled` is not among them: it spends a minute of
# compilation on every shape of tile. Nor `onnxruntime` and `tensorrt`: the one works where one of
# these does, the other builds for minutes.
AUTO = ("triton", "native", "eager")
NVIDIA = Path("/proc/driver/nvidia/version")  # is there if a GPU's driver is loaded


def backend_class(name: str) -> type[Backend]:
    """The backend called `name`, whether or not this machine can run it.

    Raises:
        BackendError: there is no such backend; says which there are.
    """
    if not isinstance(name, str) or name not in BACKENDS:
        raise BackendError(f"no backend {name!r}; choose auto or one of {', '.join(BACKENDS)}")
    module, attribute = BACKENDS[name]
    found: type[Backend] = getattr(import_module(module), attribute)
    return found


def check(
    name: str,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    isa: str = "",
) -> None:
    """Raise BackendError for options that can be had together on no machine. Loads nothing."""
    if name == "auto":
        options.check(device, precision, threads, isa)
    else:
        backend_class(name).check(device, precision, threads, isa)


def candidates(name: str, device: str = "auto") -> Iterator[tuple[type[Backend], str]]:
    """The backends to try in turn, and why each; the next is looked at only when it is asked for.

    "auto" takes those of `AUTO` that this machine can run and that serve `device`, where "auto"
    means a GPU if there is one and a backend for it. Any other name is taken as an order: it is
    that backend or an error.

    Raises:
        BackendError: no such backend, or something is missing for it; says how to get it.
    """
    if name != "auto":
        found = backend_class(name)
        if missing := found.missing():
            raise BackendError(f"backend {name!r} cannot run here: {missing}")
        yield found, "asked for"
        return
    kinds = [options.device_kind(device)]
    if kinds == ["auto"]:
        kinds = ["cuda", "cpu"] if NVIDIA.exists() else ["cpu"]
    reasons: dict[str, str] = {}
    usable = False
    for kind, candidate in product(kinds, AUTO):
        found = backend_class(candidate)
        if kind not in found.kinds:
            if kind == "cuda":
                reasons[candidate] = "runs on the cpu only"
        elif missing := found.missing():
            reasons[candidate] = missing
        else:
            usable = True
            passed = "".join(f"; {name}: {why}" for name, why in reasons.items())
            yield found, f"auto: the fastest that works here for device {device!r}{passed}"
    if not usable:
        listed = "; ".join(f"{name}: {why}" for name, why in reasons.items())
        raise BackendError(f"no backend can run here ({listed})")


def choose(name: str, device: str = "auto") -> tuple[type[Backend], str]:
    """The first of `candidates`. Raises as it does."""
    return next(candidates(name, device))


def make(
    bundle: Bundle, tried: Iterable[tuple[type[Backend], str]], **options: Any
) -> tuple[Backend, str]:
    """A model on the first of these backends that has kernels for all its operations, and why.

    Args:
        options: as `Backend` takes them.

    Raises:
        OperationError: none has; names what the first one lacks.
        BackendError, WeightsError: as `Backend`.
    """
    passed, first = "", None
    for kind, why in tried:
        try:
            return kind(bundle, **options), why + passed
        except OperationError as error:
            first = first or error
            passed += f"; {kind.name}: {error}"
    assert first is not None  # there is always a backend to try
    raise first
