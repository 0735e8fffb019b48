"""The graph run by PyTorch, operation by operation, as `models/operations.py` defines them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from imagen_fast import extras
from imagen_fast.backends import memory
from imagen_fast.backends.base import Backend, NonFiniteError, Tiles
from imagen_fast.backends.options import device_kind
from imagen_fast.errors import BackendError

if TYPE_CHECKING:
    from torch import Tensor

    Forward = Callable[[dict[str, Tensor]], dict[str, Tensor]]

# Bytes at the peak of a run, per input pixel and channel of the widest value: by the peaks that
# `imagen-fast bench --backend eager --size 32,256` tells; a window attention holds the most.
BYTES_PER_PIXEL_AND_CHANNEL = 90


class Eager(Backend):
    """PyTorch on the CPU or on CUDA, channels_last, without gradients.

    `threads` sets PyTorch's number of threads, which belongs to the whole process. `precision`
    "auto" is fp32 on the CPU and bf16 on CUDA; fp16 needs CUDA.
    """

    name: ClassVar[str] = "eager"

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        import torch

        self.device = resolve_device(device)
        on_cpu = self.device == "cpu"
        if precision == "auto":
            precision = "fp32" if on_cpu else "bf16"
        if precision == "fp16" and on_cpu:
            raise BackendError("precision fp16 needs CUDA; on the cpu choose fp32 or bf16")
        self.precision = precision
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        self._dtype = dtypes[precision]
        self.bundle.check_tensors()
        self._tensors = {name: self._weight(x) for name, x in self.bundle.tensors.items()}
        self._runs: dict[tuple[tuple[str, ...], ...], Forward] = {}

    @classmethod
    def missing(cls) -> str | None:
        """PyTorch."""
        return without_torch("torch")

    @classmethod
    def versions(cls) -> dict[str, str]:
        """PyTorch's."""
        import torch

        return {"torch": str(torch.__version__)}

    @property
    def capacity(self) -> int:
        """From free memory: half of it on CUDA, less on the CPU, which others use too."""
        import torch

        budget = memory.budget(self.graph)
        if self.device != "cpu":
            budget = int(torch.cuda.mem_get_info(self.device)[0]) // 2
        return memory.pixels(self.graph, budget, BYTES_PER_PIXEL_AND_CHANNEL)

    def compute(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> dict[str, Tiles]:
        """See `Backend.run`."""
        import torch

        forward = self._forward(given, wanted)
        bytes_ = any(x.dtype == np.uint8 for x in given.values())
        kind = self.device.partition(":")[0]
        lower = self._dtype != torch.float32
        shape = next(iter(given.values())).shape[:-1]
        with torch.inference_mode(), memory.enough(self.device, shape):
            inputs = {name: self._input(x) for name, x in given.items()}
            with torch.autocast(kind, self._dtype, enabled=lower):
                outputs = forward(inputs)
            return {name: self._array(name, x, bytes_) for name, x in outputs.items()}

    def gradient(self, image: Tiles, row: int, column: int) -> Tiles:
        """How strongly each sample of a picture decides one pixel's output.

        (1, H, W, C) float32 from 0 to 1, not in bytes → (H, W, C) float32: the size of the
        derivative of the mean over the s×s output pixels of the pixel at `row` and `column`.
        """
        import torch

        first, output = next(iter(self.graph.inputs)), next(iter(self.graph.outputs))
        forward, scale = self._forward({first: image}, [output]), self.graph.scale
        x = self._input(image).requires_grad_()
        y = forward({first: x})[output]
        rows, columns = (slice(scale * at, scale * (at + 1)) for at in (row, column))
        (found,) = torch.autograd.grad(y[0, :, rows, columns].mean(), x)
        array: Tiles = found[0].abs().permute(1, 2, 0).contiguous().cpu().numpy()
        return array

    def _forward(self, given: Mapping[str, Tiles], wanted: Sequence[str]) -> Forward:
        """What computes these outputs of (N, C, H, W) inputs; made once for their names."""
        from imagen_fast.models.operations import run_steps, steps

        key = tuple(given), tuple(wanted)
        if key not in self._runs:
            todo, tensors = steps(self.needed(given, wanted)), self._tensors

            def forward(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
                return run_steps(todo, tensors, inputs)

            self._runs[key] = self._ready(forward)
        return self._runs[key]

    def _ready(self, forward: Forward) -> Forward:
        """The function as it is called."""
        return forward

    def _weight(self, array: Tiles) -> Tensor:
        import torch

        x = torch.from_numpy(array.astype(np.float32)).to(self.device)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    def _input(self, array: Tiles) -> Tensor:
        """(N, H, W, C) → (N, C, H, W) float32, channels_last."""
        import torch

        # PyTorch takes an array over only if it may write to it.
        writable = np.require(array, requirements=["C", "W"])
        x = torch.from_numpy(writable).to(self.device).permute(0, 3, 1, 2)
        return x.float() / 255 if x.dtype == torch.uint8 else x

    def _array(self, name: str, x: Tensor, bytes_: bool) -> Tiles:
        """(N, C, H, W) in any precision → (N, H, W, C) float32 or bytes; pictures are clamped."""
        import torch

        if not torch.isfinite(x).all():
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        x = x.float().permute(0, 2, 3, 1)
        if self.graph.outputs[name].picture:
            x = x.clamp(0, 1)
            x = (x * 255).round_().to(torch.uint8) if bytes_ else x
        array: Tiles = x.cpu().contiguous().numpy()
        return array

    def close(self) -> None:
        """Drop the weights."""
        self._tensors, self._runs = {}, {}


def without_torch(extra: str) -> str | None:
    """PyTorch, if it is missing; `extra` is what to install then."""
    absent = f"PyTorch is not installed; {extras.install(extra)}"
    return extras.missing("torch", "PyTorch", absent)


def resolve_device(device: str) -> str:
    """ "cpu" or "cuda:N" from what a caller asks for: the first GPU for "auto", if there is one.

    Raises:
        BackendError: no such device, or it is not here.
    """
    import torch

    device_kind(device)
    found = torch.cuda.device_count()
    if device == "auto":
        return "cuda:0" if found else "cpu"
    if device == "cpu":
        return device
    index = device.partition(":")[2]
    if int(index or 0) >= found:
        raise BackendError(
            f"device {device!r} is not here: PyTorch finds {found} CUDA devices; choose cpu, or "
            "check the driver (nvidia-smi) and that PyTorch was installed with CUDA"
        )
    return f"cuda:{int(index or 0)}"
