"""How much made pictures are like real ones, and how much unlike each other.

Nothing here is trained: features are those of fixed random filters at several sizes, so a score
means the same for every generator and favours none. It is for textures and small pictures; it knows
nothing of objects.
"""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

FILTERS = 96  # at each size
SIZES = 3  # each half of the one before
SIDE = 5  # of a filter
BATCH = 64
PAIRS = 500  # of pictures that are compared
SSIM_WINDOW = 7
SSIM_WEIGHTS = (0.2, 0.3, 0.5)  # of three sizes, the finest first


@torch.no_grad()
def features(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1], at least 32 to a side → (N, F): what random filters see in a picture.

    At each size: filters without a mean, of which the absolute value's mean and deviation count,
    and random filters of these absolute values in turn, which see how strokes lie to each other;
    and the mean and deviation of every colour.
    """
    random = torch.Generator().manual_seed(0)
    first = torch.randn(FILTERS, 3, SIDE, SIDE, generator=random)
    first -= first.mean((2, 3), keepdim=True)
    first /= first.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    second = torch.randn(FILTERS, FILTERS, 3, 3, generator=random)
    second -= second.mean((1, 2, 3), keepdim=True)
    second /= second.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    rows = []
    for batch in pictures.float().split(BATCH):
        found = [batch.mean((2, 3)), batch.std((2, 3))]
        for _ in range(SIZES):
            strokes = F.conv2d(batch, first).abs()
            joined = F.relu(F.conv2d(F.avg_pool2d(strokes, 2), second, padding=1))
            found += [strokes.mean((2, 3)), strokes.std((2, 3)), joined.mean((2, 3))]
            batch = F.avg_pool2d(batch, 2)
        rows.append(torch.cat(found, 1))
    return torch.cat(rows)


def kernel_distance(real: Tensor, made: Tensor) -> float:
    """The squared maximum mean discrepancy of two sets of features, (N, F) and (M, F), unbiased.

    The kernel is (x·y / F + 1)³ (KID: Binkowski et al. 2018, arXiv:1801.01401) of features in
    units of the real ones' deviation. About 0, and then perhaps below it, for halves of one set.
    """
    x, y = (((part - real.mean(0)) / (real.std(0) + 1e-6)).double() for part in (real, made))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def among(a: Tensor) -> Tensor:
        values = kernel(a, a)
        return (values.sum() - values.diagonal().sum()) / (len(a) * (len(a) - 1))

    return float(among(x) + among(y) - 2 * kernel(x, y).mean())


@torch.no_grad()
def likeness(pictures: Tensor) -> float:
    """The mean MS-SSIM of three sizes over pairs of different pictures (N, 3, H, W), of luma.

    Low where pictures differ; 1 where all are the same (Wang et al. 2003; as a measure of variety:
    Odena et al. 2017, arXiv:1610.09585).
    """
    grey = pictures.float().mean(1, keepdim=True)
    every = torch.tensor(list(combinations(range(len(grey)), 2)))
    chosen = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:PAIRS]]
    return float(ms_ssim(grey[chosen[:, 0]], grey[chosen[:, 1]]).mean())


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """(N, 1, H, W) twice, in [0, 1] → (N,)."""
    product = torch.ones(len(a))
    for number, weight in enumerate(SSIM_WEIGHTS):
        last = number == len(SSIM_WEIGHTS) - 1
        luminance, structure = _ssim_parts(a, b)
        term = (luminance * structure if last else structure).mean((1, 2, 3))
        product = product * term.clamp(min=0) ** weight
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return product


def _ssim_parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, SSIM_WINDOW, 1)

    small, smaller = 0.01**2, 0.03**2
    ma, mb = mean(a), mean(b)
    va, vb = mean(a * a) - ma * ma, mean(b * b) - mb * mb
    both = mean(a * b) - ma * mb
    return (2 * ma * mb + small) / (ma * ma + mb * mb + small), (2 * both + smaller) / (
        va + vb + smaller
    )
