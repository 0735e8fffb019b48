"""One training step of a network that keeps the frame before in mind."""

from __future__ import annotations

import torch
from torch import Tensor

from imagen_fast.image.yuv import LUMA
from imagen_fast.models.temporal import Temporal
from imagen_fast.training.clips import clips
from imagen_fast.training.config import Config
from imagen_fast.training.gradients import Pictures
from imagen_fast.training.processes import Processes
from imagen_fast.training.supervised import Supervised
from imagen_fast.training.video_config import VideoConfig


class Video(Supervised):
    """Frames that are near the true ones, and whose errors stay where they are on what moves.

    Clips are made of photographs by the motion of a camera, which is known to a part of a pixel:
    the error of each frame's luma is compared with that of the frame before along the true motion,
    as `benchmarks/video.py` measures flicker: by absolute differences, or by squared ones where the
    pixel loss is `l2`.
    """

    columns = ("loss", "pixel", "frequency", "steady")
    repeats = False

    def __init__(
        self, network: Temporal, config: Config, video: VideoConfig, processes: Processes
    ) -> None:
        super().__init__(network, config, processes)
        self._temporal, self._video, self._seed = network, video, config.run.seed
        self._scale = config.model.scale
        self._power = 2 if config.loss.pixel == "l2" else 1

    def _forward(self) -> Pictures:
        return self._temporal.clip

    def step(self, number: int, low: Tensor, high: Tensor) -> dict[str, Tensor]:
        """As `Supervised.step`; of the photographs only `high` counts."""
        # A run that goes on sees the motions that it would have seen.
        random = torch.Generator().manual_seed(self._seed + number)
        small, true, path = clips(high, self._video, self._scale, random)
        made = torch.stack(self._pictures(small), 1)  # (N, T, 3, H, W)
        losses = self.loss([made.flatten(0, 1)], true.flatten(0, 1))
        luma = torch.from_numpy(LUMA).to(made.device)[:, None, None]
        error = ((made - true) * luma).sum(2, keepdim=True)
        before, inside = path.between().sample(error[:, :-1].flatten(0, 1), error.shape[-1])
        change = (error[:, 1:].flatten(0, 1) - before).abs() ** self._power
        losses["steady"] = (change * inside).mean() / inside.float().mean()
        losses["loss"] = losses["loss"] + self._video.steady * losses["steady"]
        self._update(losses["loss"], self._parameters, self.optimisers.values())
        return {name: value.detach() for name, value in losses.items()}
