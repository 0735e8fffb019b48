"""One picture drawn in the manner of another: convolutions that a style picture's tokens steer."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagen_fast.errors import SpecError
from imagen_fast.models.blocks import AttentionBlock, ConvBlock, Down, Head
from imagen_fast.models.generator import halve
from imagen_fast.models.steer import Steer, enlarged
from imagen_fast.spec import ModelSpec


class Stylizer(nn.Module):
    """Content and style to a picture of the content's size.

    One encoder sees both pictures. What it finds in the style becomes tokens, means over patches
    of its features, of the colours, and of the squares of both. The content's coarsest features
    attend to the tokens, and what they find there, on average around, scales and shifts those of
    the decoder: attention-weighted statistics, as Liu et al. 2021 (AdaAttN, arXiv:2108.03647) have
    them. The last of these, at full size, is an affine map of colours that differs from place to
    place. The content is never normalised by means over the picture, so tiles and frames agree.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        if spec.architecture != "style":
            raise SpecError(f"Stylizer builds 'style' specs, not {spec.architecture!r}")
        self.spec = spec
        channels = [level.channels for level in spec.levels]
        self.stem = nn.Conv2d(spec.image_channels, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.ModuleList(ConvBlock(level.channels) for _ in range(level.convs))
            for level in spec.levels
        )
        finer_and_coarser = list(pairwise(channels))
        self.downs = nn.ModuleList(Down(fine, coarse) for fine, coarse in finer_and_coarser)
        found = 2 * (spec.image_channels + sum(channels[-2:]))
        self.tokens = nn.Conv2d(found, channels[-1], 1)
        self.attention = AttentionBlock(channels[-1], spec.head_dim, 0, 0)
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                Steered(level.channels, channels[-1], steered=number > 0)
                for _ in range(level.depth)
            )
            for number, level in enumerate(spec.levels)
        )
        self.ups = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in finer_and_coarser)
        self.colors = Steer(channels[0], channels[-1])
        self.head = Head(channels[0], 1, spec.image_channels)

    def encode(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [0, 1] → features of every level, finest first."""
        x = self.stem(image)
        features: list[Tensor] = []
        for number, blocks in enumerate(self.encoder):
            if number:
                x = F.silu(self.downs[number - 1](x))
            for block in blocks.children():
                x = block(x)
            features.append(x)
        return features

    def read(self, style: Tensor) -> Tensor:
        """A style picture (N, 3, H, W) in [0, 1] → its tokens (N, C, h, w), in any number."""
        *_, fine, coarse = self.encode(style)
        levels = len(self.spec.levels)
        found = []
        for x, halvings in ((style, levels), (fine, 2), (coarse, 1)):
            for value in (x, x * x):
                for _ in range(halvings):
                    value = halve(value)
                found.append(value)
        tokens: Tensor = self.tokens(torch.cat(found, 1))
        return tokens

    def draw(self, image: Tensor, tokens: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] and tokens (N, C, h, w) → (N, 3, H, W), not clamped."""
        features = self.encode(image)
        x = self.attention(features[-1], tokens)
        steer = enlarged(halve(x), 2, x)
        for number in reversed(range(len(features))):
            if number < len(features) - 1:
                skip = features[number]
                x = skip + enlarged(self.ups[number](x), 2, skip)
            for block in self.decoder[number].children():
                x = block(x, steer)
        picture: Tensor = self.head(self.colors(x, steer), image)
        return picture

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        """Two pictures → the one in the other's manner, not clamped."""
        return self.draw(image, self.read(style))


class Steered(nn.Module):
    """x + SiLU(conv3x3(steered x) + b), or of x itself."""

    def __init__(self, channels: int, steering: int, steered: bool) -> None:
        super().__init__()
        self.steer = Steer(channels, steering) if steered else None
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, steer: Tensor) -> Tensor:
        found: Tensor = x if self.steer is None else self.steer(x, steer)
        return x + F.silu(self.conv(found))
