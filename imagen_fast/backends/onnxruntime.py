"""ONNX Runtime on the graph that `imagen-fast export` writes, on the CPU or on CUDA."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from imagen_fast.backends import memory
from imagen_fast.backends.base import Tiles
from imagen_fast.backends.float_graph import FloatGraph
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


class OnnxRuntime(FloatGraph):
    """Runs a bundle, which it exports in memory when it is made, or an exported ONNX file.

    A file has to leave height, width and batch open, and take floats. `precision` "auto" is the
    file's own; of a bundle fp32 on the CPU and fp16 on CUDA. Not yet run on a GPU.
    """

    name: ClassVar[str] = "onnxruntime"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16")
    takes_exported: ClassVar[bool] = True

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        from imagen_fast.export.onnx import export
        from imagen_fast.export.onnx_session import Session, resolve_device

        self.device = resolve_device(device)
        if self.bundle.exported:
            self.precision = _checked_file(self.bundle, precision)
            data = self.bundle.exported
        else:
            on_cpu = self.device == "cpu"
            chosen = "fp32" if on_cpu else "fp16"
            self.precision = chosen if precision == "auto" else precision
            data = export(self.bundle, Options(precision=self.precision))
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

    def _enlarge(self, tiles: Tiles) -> Tiles:
        output: Tiles = self._open().enlarge(tiles, self.spec.scale)
        return output

    def compute_rows(self, x: Tiles) -> Tiles:
        """See `Backend.rows`."""
        return self._finite(self._open().run(x, x.shape))

    def close(self) -> None:
        """Drop the session."""
        self._session = None

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
