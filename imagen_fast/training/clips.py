"""Clips that a camera took of photographs, and what moved where in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagen_fast.image.degradation import jpeg, noisy
from imagen_fast.training.video_config import VideoConfig

NOISE, QUALITY = (0.5, 5.0), (50, 95)  # deviation in levels, and of JPEG files; drawn evenly


@dataclass(frozen=True)
class Path:
    """Where a camera looks: pixel p of frame t shows linear[t] @ p + offset[t] of a photograph.

    Both count pixels from the middle, x first. linear (N, T, 2, 2), offset (N, T, 2).
    """

    linear: Tensor
    offset: Tensor

    def between(self) -> Path:
        """Where each pixel of a frame is in the frame before it; T is one less."""
        back = torch.linalg.inv(self.linear[:, :-1])
        way = self.offset.diff(dim=1)[..., None]
        return Path(back @ self.linear[:, 1:], (back @ way)[..., 0])

    def sample(self, pictures: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """(N · T, C, P, P), what is shown of each, and whether that is within it.

        Returns (N · T, C, side, side), drawn between pixels (bicubic), and a mask
        (N · T, 1, side, side).
        """
        axis = torch.arange(side, device=pictures.device) + 0.5 - side / 2
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        linear, offset = self.linear.flatten(0, 1), self.offset.flatten(0, 1)
        at = torch.stack([x, y], -1) @ linear.transpose(1, 2)[:, None] + offset[:, None, None]
        at = at * (2 / pictures.shape[-1])
        inside = (at.abs() <= 1).all(-1)[:, None]
        shown = F.grid_sample(
            pictures, at, mode="bicubic", padding_mode="reflection", align_corners=False
        )
        return shown, inside


def drawn_path(count: int, config: VideoConfig, scale: int, random: torch.Generator) -> Path:
    """Pans, turns and zooms of `count` cameras, about the photographs' middles.

    Three of four move by whole large pixels alone, so that their frames are as sharp as the
    photograph; small ones move by parts all the same. Others are drawn between pixels, and softer.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    steps = config.frames - 1
    plain = torch.rand(count, generator=random) < 0.75
    speed = scale * config.shift * torch.rand((count, 1, 1), generator=random) ** 2
    way = 2 * math.pi * torch.rand((count, 1), generator=random)
    straight = torch.stack([way.cos(), way.sin()], -1)
    shaken = 0.25 * normal(count, steps, 2)
    moves = speed * (straight + shaken)  # of each frame, (N, T - 1, 2)
    moves = torch.where(plain[:, None, None], moves.round(), moves)
    offset = F.pad(moves.cumsum(1), (0, 0, 1, 0))
    offset = offset - offset[:, steps // 2].round()[:, None]
    time = torch.arange(config.frames) - config.frames // 2
    free = (~plain).float()[:, None]
    angle = math.radians(config.turn) * normal(count, 1) * time * free
    zoom = (config.zoom * normal(count, 1) * time * free).exp()
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    linear = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
    return Path(linear, offset)


def clips(
    photographs: Tensor, config: VideoConfig, scale: int, random: torch.Generator
) -> tuple[Tensor, Tensor, Path]:
    """Small frames, the true ones, and the camera's path over the photographs.

    (N, 3, s·p, s·p) in [0, 1] → (N, T, 3, p', p') and (N, T, 3, s·p', s·p'), p' being p less the
    margins.
    """
    count, side = len(photographs), photographs.shape[-1] - 2 * scale * config.margin
    path = drawn_path(count, config, scale, random)
    path = Path(path.linear.to(photographs.device), path.offset.to(photographs.device))
    high, _ = path.sample(photographs.repeat_interleave(config.frames, 0), side)
    high = high.clamp(0, 1)
    low = F.interpolate(high, (side // scale,) * 2, mode="bicubic", antialias=True).clamp(0, 1)
    low = (255 * low).round()
    high, low = (x.unflatten(0, (count, config.frames)) for x in (high, low))
    rng = np.random.default_rng(int(torch.randint(2**31, (), generator=random)))
    for clip in low:
        if rng.random() < config.degraded:
            sigma, quality = rng.uniform(*NOISE), int(rng.integers(*QUALITY))
            for frame in clip:
                grainy = noisy(frame.byte().permute(1, 2, 0).cpu().numpy(), sigma, rng)
                frame.copy_(torch.from_numpy(jpeg(grainy, quality).copy()).permute(2, 0, 1))
    return low / 255, high, path
