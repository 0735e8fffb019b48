"""ONNX Runtime on the graph that `imagen-fast export` writes, on the CPU or on CUDA; and on files
of others that no graph of ours can say, on the CPU, in a process of its own."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from imagen_fast import extras
from imagen_fast.backends import NVIDIA, memory
from imagen_fast.backends.exported import Exported, Session
from imagen_fast.backends.onnx_process import OnnxFile, OnnxFileSession
from imagen_fast.errors import BackendError
from imagen_fast.export.options import ExportOptions

# Bytes at the peak of a run, per input pixel and channel of the widest value: by the peaks that
# `imagen-fast bench --peers onnxruntime --size 32,256` tells of networks of several widths.
BYTES_PER_PIXEL_AND_CHANNEL = 70
CUDA_BUDGET = 2 << 30


class OnnxRuntime(Exported):
    """Runs a bundle, which it exports in memory.

    `precision` "auto" is fp32 on the CPU and fp16 on CUDA. Not yet run on a GPU.
    """

    name: ClassVar[str] = "onnxruntime"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "fp16")

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        from imagen_fast.cores import cores

        foreign = isinstance(self.bundle, OnnxFile)
        if foreign and (device not in ("auto", "cpu") or precision not in ("auto", "fp32")):
            raise BackendError("ONNX Runtime runs other people's files on the cpu, in fp32, alone")
        self.device = "cpu" if foreign else _resolved(device)
        chosen = "fp32" if self.device == "cpu" else "fp16"
        self.precision = chosen if precision == "auto" else precision
        self.threads = threads or cores()
        self._begin()

    @classmethod
    def missing(cls) -> str | None:
        """The packages onnx and onnxruntime, if one is not installed or does not load."""
        remedy = f"{extras.install('onnx')}; for an NVIDIA GPU '.[onnx-gpu]' in place of it"
        for library in ("onnx", "onnxruntime"):
            absent = f"the package {library} is not installed; {remedy}"
            if lacking := extras.missing(library, library, absent):
                return lacking
        return None

    @classmethod
    def versions(cls) -> dict[str, str]:
        """ONNX Runtime's and onnx's."""
        return {name: str(import_module(name).__version__) for name in ("onnxruntime", "onnx")}

    @property
    def capacity(self) -> int:
        """From free memory on the CPU; of a GPU's nobody tells, so a moderate part is taken."""
        budget = memory.budget(self.graph) if self.device == "cpu" else CUDA_BUDGET
        return memory.pixels(self.graph, budget, BYTES_PER_PIXEL_AND_CHANNEL)

    def _made(self, options: ExportOptions) -> Session:
        if isinstance(self.bundle, OnnxFile):
            return OnnxFileSession(self.bundle, self.threads)
        from imagen_fast.export import onnx, onnx_session

        data = onnx.export(self.bundle, options)
        session: Session = onnx_session.Session(data, device=self.device, threads=self.threads)
        return session


def _resolved(device: str) -> str:
    """ "cpu" or "cuda:N"; "auto" is a GPU if ONNX Runtime can use one."""
    from imagen_fast.export.onnx_session import PROVIDERS, available

    kind, _, index = device.partition(":")
    if kind == "auto":
        kind = "cuda" if PROVIDERS["cuda"] in available() and NVIDIA.exists() else "cpu"
    return f"cuda:{int(index or 0)}" if kind == "cuda" else kind
