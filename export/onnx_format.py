"""The format `onnx`, as `imagen-fast export` sees it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError
from imagen_fast.extras import install
from imagen_fast.graph import Graph

from .formats import Format, Say
from .options import ExportOptions, chosen
from .verify import Arrays, Run


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

    def check(self, options: ExportOptions, graph: Graph) -> None:
        """See `imagen_fast.export.onnx.check`."""
        from .onnx import check

        check(options, graph)
        if options.largest or options.refit:
            raise ExportError("--largest and --refit are for --format tensorrt")
        if options.arch:
            raise ExportError("--arch is for --format bundle")

    def make(self, bundle: Bundle, options: ExportOptions, *, checksum: str, say: Say) -> bytes:
        """See `imagen_fast.export.onnx.export`."""
        from .onnx import export

        say("writing the graph, and checking it")
        return export(bundle, options, checksum=checksum)

    def runner(self, data: bytes, graph: Graph, options: ExportOptions) -> tuple[Run, str]:
        """ONNX Runtime on the CPU."""
        import onnxruntime

        from .onnx_session import Session

        title = f"ONNX Runtime {onnxruntime.__version__} on the CPU"
        return exported_run(Session(data).run, graph, options), title

    def facts(self, graph: Graph, options: ExportOptions) -> dict[str, Any]:
        """Inputs and outputs, open sizes by name."""
        from .onnx import interface

        return {"interface": interface(chosen(graph, options), options)}


def exported_run(run: Run, graph: Graph, options: ExportOptions) -> Run:
    """A file's own inputs and outputs, as `verify` has them: (N, H, W, C), pictures clamped."""
    outputs = chosen(graph, options).outputs

    def through(given: Arrays) -> Arrays:
        if options.io == "uint8":
            return dict(zip(outputs, run(given).values(), strict=True))
        planes = {n: np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for n, x in given.items()}
        found = [x.transpose(0, 2, 3, 1) for x in run(planes).values()]
        named = zip(outputs.items(), found, strict=True)
        return {name: x.clip(0, 1) if output.picture else x for (name, output), x in named}

    return through
