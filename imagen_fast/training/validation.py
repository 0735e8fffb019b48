"""PSNR and SSIM of a model on held-out pictures, as published figures are made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from imagen_fast.metrics import luma_psnr, ssim
from imagen_fast.training.data import Pair


def validate(model: nn.Module, pairs: Sequence[Pair], device: torch.device) -> tuple[float, float]:
    """Mean PSNR in dB and mean SSIM on Y, `scale` pixels of border left out.

    Whole pictures, one at a time; the output is rounded to uint8 first.
    """
    scores = []
    for low, high in pairs:
        out, scale = picture(model, low, device), high.shape[0] // low.shape[0]
        scores.append((luma_psnr(out, high, scale), ssim(out, high, scale)))
    return (
        math.fsum(score[0] for score in scores) / len(scores),
        math.fsum(score[1] for score in scores) / len(scores),
    )


@torch.inference_mode()
def picture(model: nn.Module, low: NDArray[np.uint8], device: torch.device) -> NDArray[np.uint8]:
    """What a model makes of a picture, in fp32: (h, w, 3) → (s·h, s·w, 3)."""
    image = torch.tensor(low).to(device).permute(2, 0, 1)[None].float() / 255
    out: NDArray[np.uint8] = (
        model(image)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()
    )
    return out
