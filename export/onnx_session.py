"""ONNX Runtime on a file's content: one provider, its failures as our errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from imagen_fast.cores import cores
from imagen_fast.errors import BackendError
from imagen_fast.extras import install

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
SILENT = 4  # what it logs it also raises


def available() -> list[str]:
    """What this build of ONNX Runtime can run on, by the names of `PROVIDERS`."""
    found: list[str] = ort.get_available_providers()
    return found


class Session:
    """A model on one device.

    Args:
        data: of an ONNX file made by `imagen_fast.export.onnx`; a foreign one can crash the
            runtime (see `imagen_fast.export.onnx_file`).
        device: "cpu" or "cuda:N". CUDA has not yet been run.
        threads: on the CPU; None for as many as there are cores for this process.

    Raises:
        BackendError: the device is not to be had, or the runtime refuses the model.
    """

    def __init__(self, data: bytes, *, device: str = "cpu", threads: int | None = None) -> None:
        self._kind, _, index = device.partition(":")
        provider = PROVIDERS[self._kind]
        if provider not in available():
            raise BackendError(
                f"this onnxruntime has no {provider}; for {device} install onnxruntime-gpu in "
                f"place of onnxruntime, {install('onnx-gpu')}, or choose device cpu"
            )
        options = ort.SessionOptions()
        options.log_severity_level = SILENT
        options.intra_op_num_threads = threads or cores()
        settings: dict[str, Any] = {}
        if self._kind == "cuda":
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
        self._outputs = [x.name for x in self._session.get_outputs()]

    def run(self, given: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Outputs by name, in order, of C-contiguous inputs by name."""
        try:
            found = self._session.run(self._outputs, dict(given))
        except Exception as error:
            text = _line(error)
            if "allocate memory" in text or "out of memory" in text.lower():
                shape = next(iter(given.values())).shape
                raise BackendError(
                    f"out of memory on {self._kind} for an input of shape {shape}; choose a "
                    "smaller tile"
                ) from error
            raise BackendError(f"ONNX Runtime failed: {text}") from error
        return dict(zip(self._outputs, found, strict=True))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
