"""The generator: a picture is taken apart into levels and built up again, coarse to fine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from imagen_fast.errors import SpecError
from imagen_fast.models.blocks import AttentionBlock, ConvBlock, Down, Head, Up
from imagen_fast.models.steer import Steer
from imagen_fast.spec import Level, ModelSpec


class Stage(nn.Module):
    """`convs` convolution blocks, then one attention block (self, or cross with a context).

    What goes into a convolution block can be steered, where `steered`.
    """

    def __init__(self, spec: ModelSpec, level: Level, shifted: bool, steered: bool = False) -> None:
        super().__init__()
        window = spec.window if level.attention == "window" else 0
        shift = window // 2 if shifted else 0
        self.convs = nn.ModuleList(ConvBlock(level.channels) for _ in range(level.convs))
        if steered:
            self.steers = nn.ModuleList(Steer(level.channels, level.channels) for _ in self.convs)
        self.attention = AttentionBlock(level.channels, spec.head_dim, window, shift)

    def forward(
        self, x: Tensor, context: Tensor | None = None, latent: Tensor | None = None
    ) -> Tensor:
        for index, conv in enumerate(self.convs):
            x = conv(x if latent is None else self.steers[index](x, latent))
        return self.attention(x, context)


class Encoder(nn.Module):
    """(N, 3, H, W) → features, finest first: level i is (N, C_i, ⌈H/2^i⌉, ⌈W/2^i⌉)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        levels = spec.levels
        self.stem = nn.Conv2d(spec.image_channels, levels[0].channels, 3, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(*(Stage(spec, level, shifted=bool(i % 2)) for i in range(level.depth)))
            for level in levels
        )
        self.downs = nn.ModuleList(
            Down(fine.channels, coarse.channels) for fine, coarse in pairwise(levels)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the stem's output (for the long skip) and the features of every level."""
        stem = self.stem(image)
        return stem, self.levels(stem)

    def levels(self, x: Tensor) -> list[Tensor]:
        """The features of every level, from what the stem gives."""
        features = []
        for index, stages in enumerate(self.stages):
            if index:
                x = self.downs[index - 1](x)
            x = stages(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """Features → features of the same shapes, rebuilt from the coarsest level down."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        levels = spec.levels
        # The encoder's last attention block at a level and the decoder's first differ in
        # shift, so that no window border stays a border.
        self.stages = nn.ModuleList(
            nn.ModuleList(
                Stage(
                    spec,
                    level,
                    shifted=bool((level.depth + i) % 2),
                    steered=bool(spec.latent_channels),
                )
                for i in range(level.depth)
            )
            for level in levels
        )
        self.ups = nn.ModuleList(
            Up(coarse.channels, fine.channels) for fine, coarse in pairwise(levels)
        )

    def forward(
        self,
        x: Tensor,
        skips: Sequence[Tensor | None],
        contexts: Sequence[Tensor | None],
        latents: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """x: the coarsest level's input. The others: one per level, finest first."""
        features: list[Tensor] = []
        for index in reversed(range(len(self.stages))):
            if features:
                x = self.ups[index](x, skips[index])
            for stage in self.stages[index].children():
                x = stage(x, contexts[index], latents[index])
            features.insert(0, x)
        return features


class Generator(nn.Module):
    """Image to image, with a picture at every level of the decoder.

    Encoder and decoder share the spec's levels. The decoder starts from the encoder's
    coarsest features, adds the encoder's features as skips, and its cross-attention reads
    the encoder's features at each level, or a `context` put in their place (another
    picture's features).
    """

    architecture: ClassVar[str] = "hierarchical"

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        if spec.architecture != self.architecture:
            name = type(self).__name__
            raise SpecError(f"{name} builds {self.architecture!r} specs, not {spec.architecture!r}")
        self.spec = spec
        self.encoder = Encoder(spec)
        self.decoder = Decoder(spec)
        self.heads = nn.ModuleList(
            Head(level.channels, spec.scale, spec.image_channels) for level in spec.levels
        )
        self._nothing = [None] * len(spec.levels)
        if spec.latent_channels:
            self.latent = nn.Conv2d(spec.latent_channels, spec.levels[-1].channels, 1)

    def forward(self, image: Tensor, context: Sequence[Tensor] | None = None) -> Tensor:
        """(N, 3, H, W) in [0, 1] → (N, 3, s·H, s·W), not clamped."""
        stem, features = self.encoder(image)
        finest = self.decoder(features[-1], features, context or features, self._nothing)[0]
        return self.heads[0](finest + stem, image)

    def progressive(self, image: Tensor, context: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Every level's picture, finest first: level i is (N, 3, s·⌈H/2^i⌉, s·⌈W/2^i⌉)."""
        stem, features = self.encoder(image)
        return self.draw(image, stem, features, context or features)[0]

    def draw(
        self, image: Tensor, stem: Tensor, features: list[Tensor], contexts: Sequence[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Every level's picture, finest first, and the features that the finest is made of."""
        decoded = self.decoder(features[-1], features, contexts, self._nothing)
        decoded[0] = decoded[0] + stem
        pictures = []
        base = image
        for index, (head, x) in enumerate(zip(self.heads, decoded, strict=True)):
            if index:
                base = halve(base)
            pictures.append(head(x, base))
        return pictures, decoded[0]

    def generate(self, latent: Tensor, latents: Sequence[Tensor]) -> list[Tensor]:
        """Pictures from a sampled latent (N, latent_channels, h, w), finest first.

        The finest is (N, 3, s·h·2^(L-1), s·w·2^(L-1)) for L levels. `latents` steer the levels,
        finest first, (N, C_i, h·2^(L-1-i), w·2^(L-1-i)): the start alone has too few numbers for
        fine detail, and what it says of the whole would have to be carried there (a style and
        noise for every level: Karras et al. 2019, arXiv:1812.04948).
        """
        if not self.spec.latent_channels:
            raise SpecError("this model has no latent entry; use a spec with latent_channels > 0")
        decoded = self.decoder(self.latent(latent), self._nothing, self._nothing, latents)
        return [head(x, None) for head, x in zip(self.heads, decoded, strict=True)]

    def features(self, image: Tensor) -> list[Tensor]:
        """The encoder's pyramid, finest first: a trunk for classifiers and detectors."""
        return self.encoder(image)[1]


def halve(image: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C, ⌈H/2⌉, ⌈W/2⌉) by averaging 2×2 pixels; an odd last row repeats."""
    h, w = image.shape[2:]
    return F.avg_pool2d(F.pad(image, (0, w % 2, 0, h % 2), mode="replicate"), 2)
