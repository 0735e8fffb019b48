"""What a texture looks like in numbers, whatever lies where: the statistics of filters' answers.

A generator learns from these; `resemblance`, which judges it, has filters of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILTERS = 48  # half of them smooth; every third sees colour without brightness
SIDE = 7  # of a filter
SECOND = 48  # filters of these filters' answers
SIZES = 4  # each half of the one before
LEAST = 32  # pixels of a side: what the coarsest filters need


class TextureStatistics(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1], at least `LEAST` to a side → numbers (N, F).

    The mean of every colour; at each size the colours' covariance, and of random filters' answers
    without their negative parts the means and the products of any two (of random filters' products
    as the look of a texture: Ustyuzhaninov et al. 2016, arXiv:1606.00021), and of random filters of
    these answers in turn, which see how strokes lie to each other, the means and the mean squares.
    Covariances and products are given by their roots, in units of brightness; means and mean
    squares of answers by their logarithms, since patches of low contrast would hardly count
    otherwise.

    Attributes:
        groups: how many numbers there are of each kind, in their order.
    """

    filters: Tensor
    small: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(4321)
        filters = torch.randn(FILTERS, 3, SIDE, SIDE, generator=random)
        smooth = F.avg_pool2d(F.avg_pool2d(filters[: FILTERS // 2], 3, 1, 1), 3, 1, 1)
        filters = torch.cat([smooth, filters[FILTERS // 2 :]])
        filters -= filters.mean((2, 3), keepdim=True)
        filters[::3] -= filters[::3].mean(1, keepdim=True)
        filters /= filters.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        self.register_buffer("filters", filters, persistent=False)
        # for pictures that the large ones would hardly move in
        self.register_buffer("small", 4 * F.avg_pool2d(filters, 2), persistent=False)
        second = torch.randn(SECOND, FILTERS, 3, 3, generator=random)
        second -= second.mean((1, 2, 3), keepdim=True)
        second /= second.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        self.register_buffer("second", second, persistent=False)
        pairs = FILTERS * (FILTERS + 1) // 2
        self.groups = [3, *SIZES * [6, FILTERS, pairs, SECOND, SECOND]]

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        found = [pictures.mean((2, 3))]
        for number in range(SIZES):
            if number:
                pictures = F.avg_pool2d(pictures, 2)
            covariance = _products(pictures - pictures.mean((2, 3), keepdim=True))
            found.append(covariance.sign() * ((covariance.abs() + 1e-5).sqrt() - 1e-5**0.5))
            filters = self.filters if min(pictures.shape[2:]) >= 2 * SIDE else self.small
            answers = F.relu(F.conv2d(pictures, filters))
            joined = F.relu(F.conv2d(F.avg_pool2d(answers, 2), self.second, padding=1))
            found += [_logarithms(answers), (_products(answers) + 1e-5).sqrt()]
            found += [_logarithms(joined), _logarithms(joined.square())]
        return torch.cat([part.float() for part in found], 1)


def _logarithms(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C): of each channel's mean."""
    return (x.mean((2, 3)).float() + 1e-3).log()


def _products(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, C·(C+1)/2): the mean product of any two channels."""
    flat = x.flatten(2)  # (N, C, H·W)
    products = (flat @ flat.mT).float() / flat.shape[2]
    rows, columns = torch.triu_indices(x.shape[1], x.shape[1], device=x.device)
    return products[:, rows, columns]
