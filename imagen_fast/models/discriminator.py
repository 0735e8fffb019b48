"""The discriminator: a convolution pyramid with self-attention at its top."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from imagen_fast.models.blocks import AttentionBlock, ConvBlock, Down


class Discriminator(nn.Module):
    """Is each patch of a picture real? Logits on a grid 2^depth times coarser than the picture.

    Stem, then `depth` × (convolution block, down by 2 and twice the width), global
    self-attention, one more convolution block, and a 3×3 convolution to one logit a patch.

    Args:
        channels: width at the picture's own size; a multiple of head_dim.
        depth: how many times the size is halved.
        head_dim: channels of one attention head.
        fold: side of the squares of pixels that become channels before the stem: 2 makes it four
            times as fast, and pictures of an odd side are none that it takes.
        normalised: constrain every weight by its largest singular value (Miyato et al. 2018,
            arXiv:1802.05957), which keeps training stable; `plain` takes it out again.
    """

    def __init__(
        self,
        channels: int,
        depth: int,
        *,
        head_dim: int = 32,
        fold: int = 1,
        normalised: bool,
    ) -> None:
        super().__init__()
        self.fold = fold
        self.stem = nn.Conv2d(3 * fold**2, channels, 3, padding=1)
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [ConvBlock(channels), Down(channels, 2 * channels)]
            channels *= 2
        layers += [AttentionBlock(channels, head_dim, window=0, shift=0), ConvBlock(channels)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)
        if normalised:
            for module in _weighted(self):
                spectral_norm(module)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] → logits (N, 1, ⌈H/2^depth⌉, ⌈W/2^depth⌉), H and W folded."""
        return self.judge(image)[0]

    def judge(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and the feature maps that the logits are made of, finest first."""
        x = self.stem(F.pixel_unshuffle(2 * image - 1, self.fold))
        features = []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, ConvBlock):
                features.append(x)
        return self.head(x), features

    def plain(self) -> Discriminator:
        """Writes the spectral norms into the weights, in place, and returns self."""
        for module in _weighted(self):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        return self


def _weighted(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
