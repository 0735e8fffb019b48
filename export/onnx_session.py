"""ONNX Runtime on a file's content: one provider, I/O binding, its failures as our errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from imagen_fast.cores import cores
from imagen_fast.errors import BackendError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
NVIDIA = Path("/proc/driver/nvidia/version")  # is there if a GPU's driver is loaded
SILENT = 4  # what it logs it also raises


def resolve_device(device: str) -> str:
    """`cpu` or `cuda:N` for what users write; "auto" is a GPU if ONNX Runtime can use one.

    Raises:
        BackendError: it is spelled otherwise.
    """
    if device == "auto":
        on_gpu = PROVIDERS["cuda"] in ort.get_available_providers() and NVIDIA.exists()
        return "cuda:0" if on_gpu else "cpu"
    kind, _, index = device.partition(":")
    if device not in ("cpu", "cuda") and (kind != "cuda" or not index.isdecimal()):
        raise BackendError(f"device {device!r}; expected auto, cpu, cuda or cuda:N")
    return f"cuda:{int(index or 0)}" if kind == "cuda" else "cpu"


class Session:
    """A model with one input and one output, on one device.

    Args:
        data: of an ONNX file made by `imagen_fast.export.onnx`; a foreign one can crash the
            runtime (see `imagen_fast.export.onnx_file`).
        device: "cpu" or "cuda:N". CUDA has not yet been run.
        threads: on the CPU; None for as many as there are cores for this process.

    Raises:
        BackendError: the device is not to be had, or the runtime refuses the model.
    """

    def __init__(self, data: bytes, *, device: str = "cpu", threads: int | None = None) -> None:
        kind, _, index = device.partition(":")
        provider = PROVIDERS[kind]
        if provider not in ort.get_available_providers():
            raise BackendError(
                f"this onnxruntime has no {provider}; for {device} install onnxruntime-gpu in "
                "place of onnxruntime, or choose device cpu"
            )
        options = ort.SessionOptions()
        options.log_severity_level = SILENT
        options.intra_op_num_threads = self.threads = threads or cores()
        settings: dict[str, Any] = {}
        if kind == "cuda":
            settings = {"device_id": index or "0", "use_tf32": "0"}
        try:
            self._session = ort.InferenceSession(data, options, providers=[(provider, settings)])
        except Exception as error:  # its exceptions share no base of their own
            raise BackendError(f"ONNX Runtime refuses the model: {_line(error)}") from error
        if self._session.get_providers()[0] != provider:
            raise BackendError(
                f"{provider} did not start, so {device} cannot be used: its CUDA or cuDNN "
                "libraries or the driver are missing; choose device cpu"
            )
        self._kind, self._index = kind, int(index or 0)
        (self._input,), (self._output,) = self._session.get_inputs(), self._session.get_outputs()

    def run(self, x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """The output, of this shape and of the input's dtype; nothing is copied on a CPU."""
        x = np.ascontiguousarray(x)
        binding = self._session.io_binding()
        try:
            if self._kind != "cpu":
                on_device = ort.OrtValue.ortvalue_from_numpy(x, self._kind, self._index)
                binding.bind_ortvalue_input(self._input.name, on_device)
                binding.bind_output(self._output.name, self._kind, self._index)
                self._session.run_with_iobinding(binding)
                copied: NDArray[Any] = binding.copy_outputs_to_cpu()[0]
                return copied
            output = np.empty(shape, x.dtype)
            binding.bind_cpu_input(self._input.name, x)
            binding.bind_output(*(self._output.name, "cpu", 0, x.dtype, shape, output.ctypes.data))
            self._session.run_with_iobinding(binding)
        except Exception as error:
            text = _line(error)
            if "allocate memory" in text or "out of memory" in text.lower():
                raise BackendError(
                    f"out of memory on {self._kind} for an input of shape {x.shape}; choose a "
                    "smaller tile"
                ) from error
            raise BackendError(f"ONNX Runtime failed: {text}") from error
        return output

    def enlarge(self, x: NDArray[Any], scale: int) -> NDArray[Any]:
        """(N, H, W, C) float32 → (N, s·H, s·W, C) by a model of io "float"; not clamped."""
        n, h, w, c = x.shape
        planes = self.run(x.transpose(0, 3, 1, 2), (n, c, scale * h, scale * w))
        output: NDArray[Any] = planes.transpose(0, 2, 3, 1)
        return output


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
