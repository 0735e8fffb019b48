"""The reference network run by PyTorch, operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from imagen_fast.backends import memory
from imagen_fast.backends.base import NonFiniteError, Tiles
from imagen_fast.backends.by_architecture import ByArchitecture
from imagen_fast.backends.levels import Levels
from imagen_fast.backends.options import device_kind
from imagen_fast.errors import BackendError
from imagen_fast.extras import install

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Bytes at the peak of a run, per input pixel and channel of the finest level: measured on the
# presets (fp32, `benchmarks/memory.py --capacity`), where a window attention holds the most.
BYTES_PER_PIXEL_AND_CHANNEL = 90
# A larger tile is no faster per pixel on a CPU, and costs memory that someone else may want.
CPU_BUDGET = 1 << 30
# Input pixels: smaller tiles are mostly halo, and readings of free memory are sometimes too low.
LEAST_CAPACITY = 192**2


class Eager(ByArchitecture):
    """PyTorch on the CPU or on CUDA, channels_last, without gradients.

    `threads` sets PyTorch's number of threads, which belongs to the whole process. `precision`
    "auto" is fp32 on the CPU and bf16 on CUDA; fp16 needs CUDA.
    """

    name: ClassVar[str] = "eager"

    def _start(self, device: str, precision: str, threads: int | None, isa: str) -> None:
        import torch

        from imagen_fast.models.build import build

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
        network = build(self.bundle).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: Any = self._ready(network)

    @classmethod
    def missing(cls) -> str | None:
        """PyTorch."""
        return without_torch("torch")

    @classmethod
    def versions(cls) -> dict[str, str]:
        """PyTorch's."""
        import torch

        return {"torch": str(torch.__version__)}

    def _ready(self, network: torch.nn.Module) -> Any:
        """The network as it is called."""
        return network

    @property
    def capacity(self) -> int:
        """From free memory: half of it on CUDA, less on the CPU, which others use too."""
        import torch

        per_pixel = BYTES_PER_PIXEL_AND_CHANNEL * self.spec.levels[0].channels
        if self.device == "cpu":
            budget = min(memory.available() // 4, CPU_BUDGET)
        else:
            budget = int(torch.cuda.mem_get_info(self.device)[0]) // 2
        return max(budget // per_pixel, LEAST_CAPACITY)

    def prepare(self, shape: tuple[int, int, int]) -> None:
        """Run once on black."""
        self.compute_picture(np.zeros((*shape, self.spec.image_channels), np.uint8))

    def compute_picture(self, tiles: Tiles) -> Tiles:
        """See `Backend.run`."""
        return self._run([tiles], lambda x: [self._enlarge(x)])[0]

    def compute_rows(self, x: Tiles) -> Tiles:
        """See `Backend.rows`."""
        return self._run([x], lambda x: self._call(self._forward, x))[0]

    def compute_levels(self, wanted: Levels) -> list[Tiles]:
        """See `Backend.progressive`."""

        def forward(given: Tensor, *context: Tensor) -> list[Tensor]:
            x, *rest = (y.permute(0, 3, 1, 2) for y in (given, *context))
            if wanted.features:
                maps = self._call(self._network.features, x)
                return [y.permute(0, 2, 3, 1) for y in maps]
            method = self._network.generate if wanted.latent else self._network.progressive
            pictures = self._call(method, x, rest or None)
            return [y.clamp(0, 1).permute(0, 2, 3, 1) for y in pictures]

        return self._run([wanted.given, *(wanted.context or ())], forward)

    def _run(self, arrays: list[Tiles], forward: Callable[..., list[Tensor]]) -> list[Tiles]:
        """The arrays through `forward` on the device, and back."""
        import torch

        with torch.inference_mode():
            try:
                # PyTorch takes an array over only if it may write to it.
                writable = (np.require(array, requirements=["C", "W"]) for array in arrays)
                inputs = [torch.from_numpy(array).to(self.device) for array in writable]
                return [x.cpu().contiguous().numpy() for x in forward(*inputs)]
            except RuntimeError as error:
                if "out of memory" not in str(error) and "allocate memory" not in str(error):
                    raise
                raise BackendError(
                    f"out of memory on {self.device} for an input of shape {arrays[0].shape[:-1]}; "
                    "choose a smaller tile"
                ) from error

    def _enlarge(self, image: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 or float32 → (N, s·H, s·W, 3) of the same dtype, clamped."""
        import torch

        x = image.permute(0, 3, 1, 2).float()  # NCHW view of NHWC memory: channels_last
        bytes_ = image.dtype == torch.uint8
        (output,) = self._call(self._forward, x / 255 if bytes_ else x)
        output = output.clamp_(0, 1).permute(0, 2, 3, 1)
        return (output * 255).round_().to(torch.uint8) if bytes_ else output

    def _forward(self, x: Tensor) -> Tensor:
        """The network's own forward."""
        output: Tensor = self._network(x)
        return output

    def _call(self, method: Callable[..., Any], *inputs: Any) -> list[Tensor]:
        """What the method gives in this precision, one tensor or several, as float32, finite."""
        import torch

        kind = self.device.partition(":")[0]
        with torch.autocast(kind, self._dtype, enabled=self._dtype != torch.float32):
            given = method(*inputs)
        outputs: list[Tensor] = [given] if isinstance(given, torch.Tensor) else given
        if not all(torch.isfinite(x).all() for x in outputs):
            raise NonFiniteError(f"the output is not finite in {self.precision}")
        return [x.float() for x in outputs]

    def close(self) -> None:
        """Drop the network."""
        self._network = None


def without_torch(extra: str) -> str | None:
    """PyTorch, if it is not installed or does not load, which only importing it tells.

    `extra` is what to install where it is not.
    """
    try:
        import_module("torch")
    except Exception as error:  # a broken installation fails in many ways
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            return f"PyTorch is not installed; {install(extra)}"
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"PyTorch is installed but does not load ({reason}); install it anew"
    return None


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
