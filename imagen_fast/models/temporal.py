"""The generator for videos: each frame's picture is drawn with the frame before in mind."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from imagen_fast.models.generator import Generator
from imagen_fast.spec import ModelSpec


class Temporal(Generator):
    """A generator that also reads what it drew of the frame before.

    The features that the finest head makes a picture of are handed on to the next frame, within -1
    and 1 (tanh), so that nothing grows from frame to frame. Its encoder starts from their 3×3
    convolution beside the stem, and its finest cross-attention reads them, through a 1×1
    convolution, beside the encoder's features. Nothing is warped: motion is found by the
    convolutions and within the attention's windows (after Fuoli et al. 2019, arXiv:1909.08080,
    recurrent latent space propagation). Both convolutions start at zero: untrained, it is the
    generator frame by frame.
    """

    architecture: ClassVar[str] = "temporal"

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        channels = spec.levels[0].channels
        self.recall = nn.Conv2d(channels, channels, 3, padding=1)
        self.compare = nn.Conv2d(channels, channels, 1)
        for module in (self.recall, self.compare):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.get_parameter("bias"))

    def frame(self, image: Tensor, previous: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """A frame's pictures, as `progressive`, and its `previous` for the next one.

        image (N, 3, H, W) in [0, 1]; previous (N, C, H, W) of the frame before, None at the first.
        """
        stem = self.encoder.stem(image)
        if previous is None:
            previous = torch.zeros_like(stem)
        features = self.encoder.levels(stem + self.recall(previous))
        contexts = [features[0] + self.compare(previous), *features[1:]]
        pictures, finest = self.draw(image, stem, features, contexts)
        return pictures, finest.tanh()

    def clip(self, frames: Tensor) -> list[Tensor]:
        """Frames in order (N, T, 3, H, W) → their finest pictures, T times (N, 3, s·H, s·W)."""
        pictures, previous = [], None
        for image in frames.unbind(1):
            (picture, *_), previous = self.frame(image, previous)
            pictures.append(picture)
        return pictures

    def progressive(self, image: Tensor, context: object = None) -> list[Tensor]:
        """Every level's picture of a frame that none precedes, finest first."""
        return self.frame(image)[0]

    def forward(self, image: Tensor, context: object = None) -> Tensor:
        """(N, 3, H, W) in [0, 1] → (N, 3, s·H, s·W), not clamped, of a frame that none precedes."""
        return self.progressive(image)[0]
