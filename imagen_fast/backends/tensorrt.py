"""TensorRT on the graph that `imagen-fast export` writes. Not yet run on a GPU."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar

from imagen_fast import atomic
from imagen_fast.backends.exported import Exported, Session
from imagen_fast.bundle import Bundle
from imagen_fast.export.options import ExportOptions
from imagen_fast.export.tensorrt_profiles import LARGEST


class TensorRT(Exported):
    """Builds an engine when it is made, which takes minutes, or takes the one of an earlier run.

    Engines are kept in `imagen_fast.export.tensorrt_cache.folder()`, under a digest of all that
    they depend on. `precision` "auto" is fp16. Tiles have at most 1024 × 1024 pixels.
    """

    name: ClassVar[str] = "tensorrt"
    kinds: ClassVar[tuple[str, ...]] = ("cuda",)
    precisions: ClassVar[tuple[str, ...]] = ("fp16", "fp32")

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        self.precision = "fp16" if precision == "auto" else precision
        self._index = int(device.partition(":")[2] or 0)
        self.device = f"cuda:{self._index}"
        self._begin()

    @classmethod
    def missing(cls) -> str | None:
        """TensorRT, PyTorch, onnx, or a GPU."""
        from imagen_fast.export.tensorrt_format import TensorRT as Format

        found: str | None = Format.missing(verify=False)
        return found

    @classmethod
    def versions(cls) -> dict[str, str]:
        """TensorRT's."""
        there = find_spec("tensorrt") is not None
        return {"tensorrt": str(import_module("tensorrt").__version__)} if there else {}

    @property
    def capacity(self) -> int:
        """As many as one tile of the engine's largest; a GPU's memory is not asked."""
        height, width = LARGEST
        return int(height * width)

    def _made(self, options: ExportOptions) -> Session:
        from imagen_fast.export.tensorrt_session import TensorRTSession

        engine = _engine(self.bundle, options, self._index)
        session: Session = TensorRTSession(engine, self.bundle.graph, options, self._index)
        return session


def _engine(bundle: Bundle, options: ExportOptions, device: int) -> bytes:
    """From the cache, or built and put there."""
    import torch

    from imagen_fast.export import onnx, tensorrt
    from imagen_fast.export.tensorrt_cache import engine_path

    with torch.cuda.device(device):
        where = tensorrt.place(device)
        data = onnx.export(bundle, options)
        kept = engine_path(data, options, where)
        if kept.exists():
            return bytes(kept.read_bytes())
        made = tensorrt.build(data, options, graph=bundle.graph, where=where, say=lambda text: None)
        atomic.write(kept, made)
        return bytes(made)
