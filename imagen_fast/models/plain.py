"""A thin network at one resolution: residual blocks of convolutions, and attention now and then."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from imagen_fast.errors import SpecError
from imagen_fast.models.blocks import AttentionBlock, Head
from imagen_fast.spec import ModelSpec


class Plain(nn.Module):
    """Image to image at one level, with a long skip from stem to head.

    `depth` blocks x + SiLU(conv(… SiLU(conv(x)))) of `convs` convolutions each; every
    `attention_every` blocks one of window attention follows, every second of which is shifted.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        if spec.architecture != "plain":
            raise SpecError(f"Plain builds 'plain' specs, not {spec.architecture!r}")
        self.spec = spec
        level = spec.levels[0]
        c = level.channels
        self.stem = nn.Conv2d(spec.image_channels, c, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for _ in range(level.convs))
            for _ in range(level.depth)
        )
        count = level.depth // spec.attention_every if spec.attention_every else 0
        self.attentions = nn.ModuleList(
            AttentionBlock(c, spec.head_dim, spec.window, i % 2 * spec.window // 2)
            for i in range(count)
        )
        self.head = Head(c, spec.scale, spec.image_channels)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] → (N, 3, s·H, s·W), not clamped."""
        stem = x = self.stem(image)
        for number, block in enumerate(self.blocks, start=1):
            start = x
            for conv in block.children():
                x = F.silu(conv(x))
            x = start + x
            every = self.spec.attention_every
            if every and number % every == 0:
                x = self.attentions[number // every - 1](x)
        return self.head(x + stem, image)

    def progressive(self, image: Tensor) -> list[Tensor]:
        """The picture of its only level."""
        return [self(image)]
