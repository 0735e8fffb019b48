"""The format `tensorrt`, as `imagen-fast export` sees it."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ExportError
from imagen_fast.extras import install
from imagen_fast.spec import ModelSpec

from .formats import Format, Say
from .onnx_format import Onnx
from .options import Options
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
            return "TensorRT is not installed; pip install tensorrt (10 or 11)"
        if find_spec("torch") is None:
            return f"PyTorch, which says what GPU this is, is not installed; {install('torch')}"
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device is here, and engines are built on the GPU that runs them"
        return None

    def check(self, options: Options, spec: ModelSpec) -> None:
        """As the ONNX graph asks for; `largest` for open sizes only."""
        from .onnx import check

        check(options, spec)
        if spec.architecture == "listing":
            raise ExportError("a listing is not exported to TensorRT; expected pictures")
        if options.largest and (options.shape or min(options.largest) < 1):
            raise ExportError("--largest is for open sizes, and at least 1x1; leave out --shape")
        if options.arch:
            raise ExportError("--arch is for --format bundle; an engine is for this machine's GPU")

    def make(self, bundle: Bundle, options: Options, *, checksum: str, say: Say) -> bytes:
        """See `imagen_fast.export.tensorrt.build`."""
        from . import onnx, tensorrt

        say("writing the graph, and checking it")
        graph = onnx.export(bundle, options, checksum=checksum)
        channels = bundle.spec.image_channels
        return tensorrt.build(graph, options, channels=channels, where=tensorrt.place(), say=say)

    def runner(self, data: bytes, spec: ModelSpec, options: Options) -> tuple[Run, str]:
        """The engine on the first GPU."""
        from .tensorrt import place

        run = picture_run(data, spec, options)
        return run, str(place())

    def facts(self, spec: ModelSpec, options: Options) -> dict[str, Any]:
        """Inputs and outputs, the profiles, and where the engine belongs."""
        from .onnx import interface
        from .tensorrt import place

        return {
            "interface": interface(spec, options),
            "profiles": [asdict(profile) for profile in profiles(options)],
            "place": asdict(place()),
        }


def picture_run(
    data: bytes, spec: ModelSpec, options: Options, device: int = 0, *, clamp: bool = True
) -> Run:
    """(N, H, W, C) arrays through an engine; floats are clamped if `clamp`."""
    import torch

    from .tensorrt_session import TensorRTSession

    session = TensorRTSession(data, profiles(options), device)

    def run(x: NDArray[Any]) -> NDArray[Any]:
        n, h, w, c = x.shape
        tall, wide = spec.scale * h, spec.scale * w
        given = torch.from_numpy(np.require(x, requirements=["C", "W"])).to(f"cuda:{device}")
        if options.io == "uint8":
            result: NDArray[Any] = session.run(given, (n, tall, wide, c)).cpu().numpy()
            return result
        planes = given.permute(0, 3, 1, 2).contiguous()
        output = session.run(planes, (n, c, tall, wide))
        output = output.clamp_(0, 1) if clamp else output
        picture: NDArray[Any] = output.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return picture

    return run
