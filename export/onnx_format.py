"""The format `onnx`, as `imagen-fast export` sees it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

from numpy.typing import NDArray

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError
from imagen_fast.extras import install
from imagen_fast.spec import ModelSpec

from .formats import Format, Say
from .options import Options
from .verify import Run


class Onnx(Format):
    """See `imagen_fast.export.onnx`. Verified in ONNX Runtime on the CPU."""

    name: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    libraries: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "torch", "numpy")

    @classmethod
    def missing(cls, *, verify: bool) -> str | None:
        """The package onnx, and onnxruntime to verify."""
        if find_spec("onnx") is None:
            return f"the package onnx is not installed; {install('onnx')}"
        if verify and find_spec("onnxruntime") is None:
            return (
                f"the package onnxruntime, which verifies, is not installed; {install('onnx')}, "
                "or export without verifying"
            )
        return None

    def check(self, options: Options, spec: ModelSpec) -> None:
        """See `imagen_fast.export.onnx.check`."""
        from .onnx import check

        check(options, spec)
        if options.largest or options.refit:
            raise ExportError("--largest and --refit are for --format tensorrt")
        if options.arch:
            raise ExportError("--arch is for --format bundle")

    def make(self, bundle: Bundle, options: Options, *, checksum: str, say: Say) -> bytes:
        """See `imagen_fast.export.onnx.export`."""
        from .onnx import export

        say("writing the graph, and checking it")
        return export(bundle, options, checksum=checksum)

    def runner(self, data: bytes, spec: ModelSpec, options: Options) -> tuple[Run, str]:
        """ONNX Runtime on the CPU."""
        import onnxruntime

        from .onnx_session import Session

        session = Session(data)

        def run(x: NDArray[Any]) -> NDArray[Any]:
            if spec.architecture == "listing":
                return session.run(x, x.shape)
            n, h, w, c = x.shape
            if options.io == "uint8":
                return session.run(x, (n, spec.scale * h, spec.scale * w, c))
            picture: NDArray[Any] = session.enlarge(x, spec.scale).clip(0, 1)
            return picture

        return run, f"ONNX Runtime {onnxruntime.__version__} on the CPU"

    def facts(self, spec: ModelSpec, options: Options) -> dict[str, Any]:
        """Inputs and outputs, open sizes by name."""
        from .onnx import interface

        return {"interface": interface(spec, options)}
