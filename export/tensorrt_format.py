"""The format `tensorrt`, as `imagen-fast export` sees it."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, ClassVar

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError
from imagen_fast.extras import install
from imagen_fast.graph import Graph

from .formats import Format, Say
from .onnx_format import Onnx, exported_run
from .options import ExportOptions, chosen
from .tensorrt_profiles import profiles
from .verify import Run


class TensorRT(Format):
    """See `imagen_fast.export.tensorrt`. Built and verified on this machine's first GPU."""

    name: ClassVar[str] = "tensorrt"
    suffix: ClassVar[str] = ".engine"
    suffixes: ClassVar[tuple[str, ...]] = (".engine", ".plan", ".trt")
    libraries: ClassVar[tuple[str, ...]] = ("tensorrt", "torch", "onnx", "numpy")

    @classmethod
    def missing(cls, *, verify: bool) -> str | None:
        """The packages onnx, tensorrt and torch, and a GPU."""
        if lacking := Onnx.missing(verify=False):
            return lacking
        if find_spec("tensorrt") is None:
            return f"TensorRT is not installed; {install('tensorrt')} (10 or 11)"
        if find_spec("torch") is None:
            return f"PyTorch, which says what GPU this is, is not installed; {install('torch')}"
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device is here, and engines are built on the GPU that runs them"
        return None

    def check(self, options: ExportOptions, graph: Graph) -> None:
        """As the ONNX graph asks for; `largest` for open sizes only."""
        from .onnx import check

        check(options, graph)
        if options.largest and (options.shape or min(options.largest) < 1):
            raise ExportError("--largest is for open sizes, and at least 1x1; leave out --shape")
        if options.arch:
            raise ExportError("--arch is for --format bundle; an engine is for this machine's GPU")

    def make(self, bundle: Bundle, options: ExportOptions, *, checksum: str, say: Say) -> bytes:
        """See `imagen_fast.export.tensorrt.build`."""
        from . import onnx, tensorrt

        say("writing the graph, and checking it")
        data = onnx.export(bundle, options, checksum=checksum)
        return tensorrt.build(data, options, graph=bundle.graph, where=tensorrt.place(), say=say)

    def runner(self, data: bytes, graph: Graph, options: ExportOptions) -> tuple[Run, str]:
        """The engine on the first GPU."""
        from .tensorrt import place
        from .tensorrt_session import TensorRTSession

        return exported_run(TensorRTSession(data, graph, options).run, graph, options), str(place())

    def facts(self, graph: Graph, options: ExportOptions) -> dict[str, Any]:
        """Inputs and outputs, the profiles, and where the engine belongs."""
        from .onnx import interface
        from .tensorrt import place

        return {
            "interface": interface(chosen(graph, options), options),
            "profiles": [asdict(profile) for profile in profiles(options)],
            "place": asdict(place()),
        }
