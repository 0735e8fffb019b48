"""Features that others scale and shift, place by place."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Steer(nn.Module):
    """x + γ x + β; γ and β are 1×1 convolutions of coarse features.

    x (N, C, H, W) and steer (N, C', ⌈H/2^n⌉, ⌈W/2^n⌉), which is drawn between its pixels, because
    steps from one to the next would be seen.
    """

    def __init__(self, channels: int, steering: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(steering, 2 * channels, 1)

    def forward(self, x: Tensor, steer: Tensor) -> Tensor:
        height, width = x.shape[2:]
        times = 1
        while -(-height // times) > steer.shape[2] or -(-width // times) > steer.shape[3]:
            times *= 2
        gamma, beta = enlarged(self.conv(steer), times, x).chunk(2, 1)
        return x + gamma * x + beta


def enlarged(x: Tensor, times: int, like: Tensor) -> Tensor:
    """x drawn so many times as large between its pixels (bilinear), as far as `like` reaches."""
    if times > 1:
        x = F.interpolate(x, scale_factor=times, mode="bilinear", align_corners=False)
    return x[:, :, : like.shape[2], : like.shape[3]]
