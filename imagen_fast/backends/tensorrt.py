"""TensorRT on the graph that `imagen-fast export` writes. Not yet run on a GPU."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar

import numpy as np

from imagen_fast import atomic
from imagen_fast.backends.base import Backend, NonFiniteError
from imagen_fast.backends.levels import Levels, Tiles
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.export.options import Options
from imagen_fast.export.tensorrt_profiles import LARGEST


class TensorRT(Backend):
    """Builds an engine when it is made, which takes minutes, or takes the one of an earlier run.

    Engines are kept in `imagen_fast.export.tensorrt_cache.folder()`, under a digest of all that
    they depend on. `precision` "auto" is fp16. The finest picture is all that an engine gives, of
    tiles of at most 1024 × 1024.
    """

    name: ClassVar[str] = "tensorrt"
    kinds: ClassVar[tuple[str, ...]] = ("cuda",)

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(bundle, device=device, precision=precision, threads=threads)
        kind, _, index = device.partition(":")
        if device not in ("auto", "cuda") and (kind != "cuda" or not index.isdecimal()):
            raise BackendError(f"backend 'tensorrt' runs on CUDA only, not on {device!r}")
        if precision == "bf16":
            raise BackendError("backend 'tensorrt' has no bf16; choose fp16 or fp32")
        if self.spec.architecture == "listing":
            raise BackendError("backend 'tensorrt' runs no listings; choose backend onnxruntime")
        self.precision = "fp16" if precision == "auto" else precision
        self.device = f"cuda:{int(index or 0)}"
        from imagen_fast.export.tensorrt_format import picture_run

        options = Options(precision=self.precision)
        engine = _engine(bundle, options, int(index or 0))
        # Not clamped here: bytes are made below, so that what is not finite is seen.
        self._run = picture_run(engine, bundle.spec, options, int(index or 0), clamp=False)

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

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Run once on black."""
        self.compute(np.zeros((*shape, self.spec.image_channels), np.uint8))

    def compute(self, tiles: Tiles) -> Tiles:
        """See `Backend.run`."""
        bytes_ = tiles.dtype == np.uint8
        output = self._run(tiles.astype(np.float32) / np.float32(255) if bytes_ else tiles)
        if not np.isfinite(output).all():
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        output = output.clip(0, 1)
        if bytes_:
            output = np.rint(output * np.float32(255)).astype(np.uint8)
        return np.ascontiguousarray(output)

    def compute_rows(self, x: Tiles) -> Tiles:
        """Never called: listings are refused when the backend is made."""
        raise BackendError("backend 'tensorrt' runs no listings")

    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """Always raises BackendError."""
        raise BackendError("backend 'tensorrt' gives the finest picture only; choose backend eager")


def _engine(bundle: Bundle, options: Options, device: int) -> bytes:
    """From the cache, or built and put there."""
    import torch

    from imagen_fast.export import onnx, tensorrt
    from imagen_fast.export.tensorrt_cache import engine_path

    with torch.cuda.device(device):
        where = tensorrt.place(device)
        graph = onnx.export(bundle, options)
        kept = engine_path(graph, options, where)
        if kept.exists():
            return bytes(kept.read_bytes())
        channels = bundle.spec.image_channels
        made = tensorrt.build(graph, options, channels=channels, where=where, say=lambda text: None)
        atomic.write(kept, made)
        return bytes(made)
