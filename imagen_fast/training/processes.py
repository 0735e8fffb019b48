"""One process, or several that share every batch.

A single process needs torch alone. Several go through Lightning Fabric, which starts them (or
finds torchrun's) and gives each its device; gradients are averaged explicitly, in one message
a step, so that losses may run through a model as often and as oddly as they like.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from imagen_fast.errors import TrainingError
from imagen_fast.extras import install


class Processes:
    """This process among `count`: its rank and device, and what they agree on.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        count: how many processes to start; torchrun's number counts instead where it runs.

    Raises:
        TrainingError: the device is unknown or absent, or Lightning Fabric is.
    """

    def __init__(self, device: str, count: int) -> None:
        kind = _device(device)
        self.count = int(os.environ.get("WORLD_SIZE", count))
        self.rank, self.device, self._fabric = 0, kind, None
        if self.count == 1:
            return
        try:
            from lightning_fabric import Fabric
        except ImportError as error:
            raise TrainingError(
                f"several processes need Lightning Fabric; {install('train')}"
            ) from error
        here = int(os.environ.get("LOCAL_WORLD_SIZE", self.count))
        self._fabric = Fabric(
            accelerator=kind.type, devices=here, num_nodes=self.count // here, strategy="ddp"
        )
        self._fabric.launch()
        self.rank, self.device = self._fabric.global_rank, self._fabric.device

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Every process's gradients become the mean of all."""
        if self._fabric is None:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        flat = self._reduce(torch.cat([grad.reshape(-1) for grad in grads]), "mean")
        for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view(grad.shape))

    def average(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of every process's values."""
        if self._fabric is None:
            return values
        mean = self._reduce(torch.tensor(list(values.values()), device=self.device), "mean")
        return dict(zip(values, mean.tolist(), strict=True))

    def agree(self, seconds: float, stop: bool) -> tuple[float, bool]:
        """The longest time that any process has counted, and whether any asks to stop."""
        if self._fabric is None:
            return seconds, stop
        both = torch.tensor([seconds, float(stop)], dtype=torch.float64, device=self.device)
        longest, asked = self._reduce(both, "max").tolist()
        return longest, bool(asked)

    def close(self) -> None:
        """Wait for every process, then part: one that leaves early aborts in gloo's threads."""
        if self._fabric is None:
            return
        self._fabric.barrier()
        torch.distributed.destroy_process_group()

    def _reduce(self, values: Tensor, operation: str) -> Tensor:
        assert self._fabric is not None
        result = self._fabric.all_reduce(values, reduce_op=operation)
        assert isinstance(result, Tensor)
        return result


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TrainingError(f"device is {name!r}; expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise TrainingError(
            f"device {name!r} is not here: torch sees {torch.cuda.device_count()} GPUs"
        )
    return device
