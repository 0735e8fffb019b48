"""PSNR and SSIM of a model on held-out pictures, as published figures are made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from imagen_fast.metrics import luma_psnr, ssim
from imagen_fast.training.data import Pair


@torch.inference_mode()
def validate(model: nn.Module, pairs: Sequence[Pair], device: torch.device) -> tuple[float, float]:
    """Mean PSNR in dB and mean SSIM on Y, `scale` pixels of border left out, in fp32.

    Whole pictures, one at a time; the output is rounded to uint8 first.
    """
    scores = []
    for low, high in pairs:
        scale = high.shape[0] // low.shape[0]
        image = torch.from_numpy(low).to(device).permute(2, 0, 1)[None].float() / 255
        out = model(image)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
        scores.append((luma_psnr(out, high, scale), ssim(out, high, scale)))
    return (
        math.fsum(score[0] for score in scores) / len(scores),
        math.fsum(score[1] for score in scores) / len(scores),
    )
