"""One training step towards the photographs themselves."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imagen_fast.models.generator import Generator
from imagen_fast.training.config import Config, LossConfig
from imagen_fast.training.data import Pair, PatchSampler
from imagen_fast.training.fastest import fastest
from imagen_fast.training.fused_loss import fuse_loss
from imagen_fast.training.gradients import Pictures
from imagen_fast.training.losses import PictureLoss
from imagen_fast.training.optimiser import build_optimisers
from imagen_fast.training.precision import Precision, faster
from imagen_fast.training.processes import Processes
from imagen_fast.training.validation import validate

if TYPE_CHECKING:
    from imagen_fast._native import Training

HALF_COSTS = 0.005  # dB that a file of half the size may lose


class Supervised:
    """Moves a generator's pictures towards their targets.

    Attributes:
        columns: the losses that `step` may report.
        repeats: whether a step does the same whatever its number, so that it can be recorded.
        loss: how pictures are compared with their targets.
        scores: what `validate` may report.
        pictures: names by folder of those that it learns from beside the run's.
        modules, optimisers: all that a step changes, by name, for checkpoints.
        say: told by what the network is computed.
        precision: what the network is computed in: `bf16` (autocast) or `fp32`.
    """

    columns: tuple[str, ...] = ("loss", "pixel", "frequency", "coarse")
    scores: tuple[str, ...] = ("psnr", "ssim")
    repeats = True

    def __init__(self, generator: nn.Module, config: Config, processes: Processes) -> None:
        self.modules: dict[str, nn.Module] = {"generator": generator}
        self.pictures: dict[str, list[str]] = {}
        self.optimisers = build_optimisers(generator, config.optimiser)
        self._parameters = list(generator.parameters())
        self._native: Training | None = None
        self.compare_by(config.loss)
        self._device, self._compute_in = processes.device, config.run.precision
        self.precision = self._beside = faster(config.run.precision, processes.device)
        self._processes = processes
        self._generator: Any = generator
        self._progressive: Pictures | None = None
        self._compile = config.run.compile
        self.say: Callable[[str], object] = lambda text: None

    def compare_by(self, config: LossConfig) -> None:
        """Compares pictures with their targets by this loss from now on."""
        self._loss, self.loss = config, PictureLoss(config)
        if self._native:
            fuse_loss(self.loss, self._native)

    def begin(self, data: PatchSampler) -> None:
        """What a run begins with, and begins with again where it goes on: nothing here."""

    def codes(self, model: Generator | None) -> list[list[float]]:
        """What a generator's file has of what it learnt from: none here.

        model: the finished one; None before the end.
        """
        return []

    def step(self, number: int, low: Tensor, high: Tensor) -> dict[str, Tensor]:
        """Update number `number` from low (N, 3, p, p) and high (N, 3, s·p, s·p) in [0, 1].

        Returns the losses before the update, on their device, detached.
        """
        pictures = self._pictures(low)  # the first of which choose what the loss is computed by
        losses = self.loss(pictures, high)
        self._update(losses["loss"], self._parameters, self.optimisers.values())
        return {name: value.detach() for name, value in losses.items()}

    def _forward(self) -> Pictures:
        """What pictures are computed by, of `step`'s small ones."""
        progressive: Pictures = self._generator.progressive
        return progressive

    def _pictures(self, low: Tensor) -> list[Tensor]:
        if self._progressive is None:
            self._progressive = self._forward()
        if self._compile:  # at the first step, which gives it a batch to be tried on
            self._progressive, self._native = fastest(
                self._progressive, self._generator, low, self._compute_in, self._compile, self.say
            )
            if self._native:
                self.precision = self._native.precision
            self.compare_by(self._loss)
            self._compile = False
        progressive: Pictures = self._progressive
        with self._autocast(low, self.precision):
            pictures = progressive(low)
        return [picture.float() for picture in pictures]

    def _autocast(
        self, x: Tensor, precision: Precision | None = None
    ) -> AbstractContextManager[object]:
        """In what PyTorch is fast in, or in a precision."""
        enabled = (precision or self._beside) == "bf16"
        return torch.autocast(x.device.type, torch.bfloat16, enabled=enabled)

    def _update(
        self,
        loss: Tensor,
        parameters: list[nn.Parameter],
        optimisers: Iterable[torch.optim.Optimizer],
    ) -> None:
        for p in parameters:
            p.grad = None
        loss.backward()
        self._processes.average_gradients(parameters)
        for optimiser in optimisers:
            optimiser.step()

    def validate(self, model: Generator, held_out: Sequence[Pair], step: int) -> dict[str, float]:
        """How good the model is on held-out pictures, by the names in `scores`; {} without any."""
        if not held_out:
            return {}
        return dict(zip(self.scores, validate(model, held_out, self._device), strict=True))

    def halved(
        self, model: Generator, held_out: Sequence[Pair], facts: Mapping[str, float]
    ) -> Generator:
        """The model in float16 where that is as good on held-out pictures, else as it is."""
        if "psnr" not in self.scores:  # its pictures have no truth that they could leave
            return model.half()
        if "psnr" not in facts:
            return model
        half = copy.deepcopy(model).half().float()
        psnr, _ = validate(half, held_out, self._device)
        return half.half() if abs(psnr - facts["psnr"]) < HALF_COSTS else model
