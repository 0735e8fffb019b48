"""What happens to pictures before a discriminator sees them, where there are few.

Photographs and made pictures go through the same, and gradients flow through it, so the generator
does not learn to make it (differentiable augmentation: Zhao et al. 2020, arXiv:2006.10738).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(pictures: Tensor, share: float) -> Tensor:
    """(N, 3, H, W) → same. Each of three changes happens to `share`, from 0 to 1, of the pictures.

    Brightness, saturation and contrast; a move by an eighth of the side at most, with zeros coming
    in; a square of half the side is hidden. Random numbers are PyTorch's.
    """
    if not share:
        return pictures
    for change in (recoloured, moved, hidden):
        chosen = torch.rand(len(pictures), 1, 1, 1, device=pictures.device) < share
        pictures = torch.where(chosen, change(pictures), pictures)
    return pictures


def recoloured(x: Tensor) -> Tensor:
    """Brightness by up to 0.25, saturation 0 to 2 and contrast 0.5 to 1.5 times."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, device=x.device)
    x = x + (brightness - 0.5) / 2
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * 2 * saturation
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (0.5 + contrast)


def moved(x: Tensor) -> Tensor:
    """By whole pixels, an eighth of the side at most; what comes in is 0."""
    n, _, h, w = x.shape
    down, right = (
        torch.randint(-(side // 8), side // 8 + 1, (n, 1), device=x.device) for side in (h, w)
    )
    rows = (torch.arange(h, device=x.device) + down).clamp(-1, h) + 1  # (N, h), of x in a frame
    columns = (torch.arange(w, device=x.device) + right).clamp(-1, w) + 1
    each = torch.arange(n, device=x.device)[:, None, None]
    framed = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)  # (N, h+2, w+2, 3)
    return framed[each, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def hidden(x: Tensor) -> Tensor:
    """A square of half the side, anywhere, is 0."""
    n, _, h, w = x.shape
    rows, columns = (
        (torch.arange(side, device=x.device) - torch.randint(side, (n, 1), device=x.device)).abs()
        < side / 4
        for side in (h, w)
    )
    inside = rows[:, None, :, None] & columns[:, None, None, :]  # (N, 1, h, w)
    return x * ~inside
