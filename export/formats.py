"""What every format of an export is, and the list of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError
from imagen_fast.graph import Graph

from .options import ExportOptions
from .verify import Run

# Name → module and class; a module is imported only when its format is asked for.
FORMATS = {
    "onnx": ("imagen_fast.export.onnx_format", "Onnx"),
    "bundle": ("imagen_fast.export.bundle_format", "KernelBundle"),
    "tensorrt": ("imagen_fast.export.tensorrt_format", "TensorRT"),
}
# Told what is going on.
Say = Callable[[str], None]


class Format(ABC):
    """One kind of file that models are exported to.

    Attributes:
        name: as in `FORMATS`.
        suffix: that its files have, with the dot.
        suffixes: in which a file's name may end.
        libraries: whose versions the manifest tells, beside this project's.
        precision: unless asked otherwise.
        shapes: (N, H, W) of pictures that verify it, where they are not the photograph's.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    libraries: ClassVar[tuple[str, ...]] = ()
    precision: ClassVar[str] = "fp32"
    shapes: ClassVar[tuple[tuple[int, int, int], ...] | None] = None

    @classmethod
    @abstractmethod
    def missing(cls, *, verify: bool) -> str | None:
        """What this machine lacks to make a file, or to `verify` it, and how to get it."""

    @abstractmethod
    def check(self, options: ExportOptions, graph: Graph) -> None:
        """Raise ExportError if the options are not for this format and this model."""

    @abstractmethod
    def make(self, bundle: Bundle, options: ExportOptions, *, checksum: str, say: Say) -> bytes:
        """The file's content; `checksum` is the sha256 of the bundle's file. Raises ExportError."""

    @abstractmethod
    def runner(self, data: bytes, graph: Graph, options: ExportOptions) -> tuple[Run, str]:
        """What runs a file's content, and what that is called."""

    def facts(self, graph: Graph, options: ExportOptions) -> dict[str, Any]:
        """What the manifest tells beyond what it tells of every format."""
        return {}


def find(name: str) -> Format:
    """The format called `name`. Raises ExportError, which says which there are."""
    if name not in FORMATS:
        raise ExportError(f"no format {name!r}; choose from {', '.join(FORMATS)}")
    module, attribute = FORMATS[name]
    found: type[Format] = getattr(import_module(module), attribute)
    return found()
