"""ONNX Runtime on the graph that `imagen-fast export` writes, on the CPU or on CUDA."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from imagen_fast.backends import memory
from imagen_fast.backends.base import Backend, NonFiniteError
from imagen_fast.backends.levels import Levels, Tiles
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError
from imagen_fast.export.options import Options
from imagen_fast.extras import install

if TYPE_CHECKING:
    from imagen_fast.export.onnx_session import Session

# Bytes at the peak of a run, per input pixel and channel of the finest level: measured on the
# presets (`benchmarks/memory.py --capacity --backend onnxruntime`).
BYTES_PER_PIXEL_AND_CHANNEL = 70
CPU_BUDGET = 1 << 30
CUDA_BUDGET = 2 << 30
LEAST_CAPACITY = 192**2


class OnnxRuntime(Backend):
    """Runs a bundle, which it exports in memory when it is made, or an exported ONNX file.

    A file has to leave height, width and batch open, and take floats. `precision` "auto" is the
    file's own; of a bundle fp32 on the CPU and fp16 on CUDA. The finest picture is all that the
    graph gives: `features`, `progressive` and `generate` are refused. Not yet run on a GPU.
    """

    name: ClassVar[str] = "onnxruntime"
    takes_exported: ClassVar[bool] = True

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(bundle, device=device, precision=precision, threads=threads)
        from imagen_fast.export.onnx import export
        from imagen_fast.export.onnx_session import Session, resolve_device

        self.device = resolve_device(device)
        if precision == "bf16":
            raise BackendError("backend 'onnxruntime' has no bf16; choose fp32 or fp16")
        if bundle.exported:
            self.precision = _checked_file(bundle, precision)
            data = bundle.exported
        else:
            on_cpu = self.device == "cpu"
            chosen = "fp32" if on_cpu else "fp16"
            self.precision = chosen if precision == "auto" else precision
            data = export(bundle, Options(precision=self.precision))
        self._session: Session | None = Session(data, device=self.device, threads=threads)
        self.threads = self._session.threads

    @classmethod
    def missing(cls) -> str | None:
        """The packages onnx and onnxruntime, if one is not installed or does not load."""
        for library in ("onnx", "onnxruntime"):
            try:
                import_module(library)
            except Exception as error:  # a broken installation fails in many ways
                if isinstance(error, ModuleNotFoundError) and error.name == library:
                    return f"the package {library} is not installed; {install('onnx')}"
                reason = " ".join(str(error).split()) or type(error).__name__
                return f"{library} is installed but does not load ({reason}); install it anew"
        return None

    @classmethod
    def versions(cls) -> dict[str, str]:
        """ONNX Runtime's and onnx's."""
        return {name: str(import_module(name).__version__) for name in ("onnxruntime", "onnx")}

    @property
    def capacity(self) -> int:
        """From free memory on the CPU; of a GPU's nobody tells, so a moderate part is taken."""
        per_pixel = BYTES_PER_PIXEL_AND_CHANNEL * self.spec.levels[0].channels
        on_cpu = self.device == "cpu"
        budget = min(memory.available() // 4, CPU_BUDGET) if on_cpu else CUDA_BUDGET
        return max(budget // per_pixel, LEAST_CAPACITY)

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Run once on black."""
        self.compute(np.zeros((*shape, self.spec.image_channels), np.uint8))

    def compute(self, tiles: Tiles) -> Tiles:
        """See `Backend.run`."""
        bytes_ = tiles.dtype == np.uint8
        x = tiles.astype(np.float32) / np.float32(255) if bytes_ else tiles
        output = self._finite(self._open().enlarge(x, self.spec.scale)).clip(0, 1)
        if bytes_:
            output = np.rint(output * np.float32(255)).astype(np.uint8)
        return np.ascontiguousarray(output)

    def compute_rows(self, x: Tiles) -> Tiles:
        """See `Backend.rows`."""
        return self._finite(self._open().run(x, x.shape))

    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """Always raises BackendError."""
        raise BackendError(
            "backend 'onnxruntime' gives the finest picture only; choose backend native or eager"
        )

    def close(self) -> None:
        """Drop the session."""
        self._session = None

    def _finite(self, output: Tiles) -> Tiles:
        if not np.isfinite(output).all():
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return output

    def _open(self) -> Session:
        if self._session is None:
            raise BackendError("this backend is closed")
        return self._session


def _checked_file(bundle: Bundle, precision: str) -> str:
    """The precision of an exported file, if the file can serve tiles of any size."""
    from imagen_fast.export.onnx_file import options_of

    options = options_of(bundle.metadata)
    if options.shape or options.batch or options.io != "float":
        raise BackendError(
            "this ONNX file takes one shape of input, or bytes; to run it here export it with "
            "--dynamic and --io float, and without --batch"
        )
    if precision not in ("auto", options.precision):
        raise BackendError(
            f"this ONNX file computes in {options.precision}, not in {precision}; choose precision "
            f"auto, or export the model with --precision {precision}"
        )
    return str(options.precision)
