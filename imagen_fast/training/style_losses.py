"""How far a picture is from a painting's manner and from a photograph's drawing, by fixed filters.

No network's weights are needed: random filters over several scales describe texture well
(Ustyuzhaninov et al. 2016, arXiv:1606.00021). Pictures are (N, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen_fast.image.yuv import LUMA

FILTERS, SIDE, SECOND = 16, 5, 24
PROJECTIONS, SAMPLES, QUANTILES = 8, 1600, 256
SCALES = 4  # sizes of a picture that count, each half the one before
GRID = 32  # places in each direction at which strengths are compared
SHARP = (0.01**2, 0.03**2)  # SSIM's constants for values up to 1


class Statistics:
    """What random filters and colours are like on average, at `SCALES` sizes of a picture.

    At each size, smaller by half each time: means, deviations and Gram matrices of 5×5 filters'
    responses of both signs; below the first also of 3×3 filters of these; and of colours the
    means, covariances and the distributions along random directions (sliced Wasserstein distance:
    Rabin et al. 2011). Of all sizes together: how far responses are strong in the same places of a
    grid, as correlations (a choice of Portilla and Simoncelli 2000, of other filters).
    """

    def __init__(self, device: torch.device) -> None:
        random = torch.Generator().manual_seed(1)
        self._first = _band_pass(random).to(device)
        second = torch.randn(SECOND, 2 * FILTERS, 3, 3, generator=random)
        second -= 0.5 * second.mean((2, 3), keepdim=True)
        self._second = (second / math.sqrt(second[0].numel())).to(device)
        directions = torch.randn(PROJECTIONS, 3, generator=random)
        self._directions = F.normalize(directions, dim=1).to(device)

    def __call__(self, picture: Tensor) -> dict[str, list[Tensor]]:
        """Lists of statistics (N, …), by what they are of.

        These are `texture`, `together`, `moments` and `colors`.
        """
        found: dict[str, list[Tensor]] = {"texture": [], "moments": [], "colors": []}
        x, strengths = picture, []
        for scale in range(SCALES):
            # Of the largest size every fourth place is enough, not always the same.
            top, left = (0, 0) if scale else torch.randint(2, (2,)).tolist()
            response = 4 * F.conv2d(x[..., top:, left:], self._first, stride=1 if scale else 2)
            maps = [torch.cat([F.relu(response), F.relu(-response)], 1)]
            if scale:
                maps.append(F.relu(F.conv2d(maps[0], self._second, stride=2 if scale == 1 else 1)))
                found["colors"].append(self._distribution(x.flatten(2)))
                found["moments"].append(_covariance(x.flatten(2)))
            for features in (y.flatten(2) for y in maps):
                found["texture"].append(features @ features.mT / features.shape[2])
                both = [features.mean(2), features.var(2).add(1e-6).sqrt()]
                found["texture"].append(torch.stack(both, 2))
            strengths.append(F.adaptive_avg_pool2d(response.abs(), GRID))
            x = _smaller(x)
        found["together"] = [_correlations(torch.cat(strengths, 1).flatten(2).float())]
        return {name: [y.float() for y in group] for name, group in found.items()}

    def _distribution(self, colors: Tensor) -> Tensor:
        """Quantiles along each direction, (N, directions, QUANTILES), of up to SAMPLES pixels."""
        if colors.shape[2] > SAMPLES:
            colors = colors[:, :, torch.randint(colors.shape[2], (SAMPLES,), device=colors.device)]
        along = (self._directions @ colors.float()).sort(2).values
        return F.interpolate(along, QUANTILES, mode="linear", align_corners=True)


def distances(found: dict[str, list[Tensor]], wanted: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    """How far the one's statistics are from the other's, by what they are of.

    `texture` is the logarithm of relative squared distances, `together` squared distances of
    correlations, `colors` of moments and distributions.
    """

    def relative(a: Tensor, b: Tensor) -> Tensor:
        size = b.square().mean((1, 2)) + 1e-8
        return torch.log1p((a - b).square().mean((1, 2)) / size).mean()

    pairs = {name: list(zip(found[name], wanted[name], strict=True)) for name in found}
    texture = torch.stack([relative(a, b) for a, b in pairs["texture"]]).sum()
    colors = torch.stack([(a - b).abs().mean() for a, b in pairs["colors"]]).sum()
    moments = torch.stack([(a - b).square().mean() for a, b in pairs["moments"]]).sum()
    together = torch.stack([(a - b).square().mean() for a, b in pairs["together"]]).sum()
    return {"texture": texture, "together": together, "colors": 3 * colors + 6 * moments}


def edges(a: Tensor, b: Tensor) -> Tensor:
    """1 - SSIM of the strength of edges (Sobel), 11×11 Gaussian windows."""
    x, y = (_gradient(t).square().sum(1, keepdim=True).add(1e-6).sqrt() for t in (a, b))
    mx, my, xx, yy, xy = _blurred(torch.cat([x, y, x * x, y * y, x * y], 1)).chunk(5, 1)
    c1, c2 = SHARP
    above = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
    below = (mx * mx + my * my + c1) * (xx - mx * mx + yy - my * my + c2)
    return 1 - (above / below).mean()


def structure(a: Tensor, b: Tensor) -> Tensor:
    """1 - the local correlation of gradients where b has some, on average over the scales."""
    total = torch.zeros((), device=a.device)
    for _ in range(SCALES):
        ga, gb = _gradient(a), _gradient(b)
        ab, aa, bb = (_blurred(g).sum(1) for g in (ga * gb, ga * ga, gb * gb))
        weight = bb / (bb + 1e-3)
        apart = weight * (1 - ab / ((aa + 1e-4) * (bb + 1e-4)).sqrt())
        total = total + (apart.mean((1, 2)) / weight.mean((1, 2)).clamp_min(0.05)).mean()
        a, b = _smaller(a), _smaller(b)
    return total / SCALES


def _correlations(values: Tensor) -> Tensor:
    """(N, C, P) → (N, C, C)."""
    apart = values - values.mean(2, keepdim=True)
    apart = apart / (apart.square().sum(2, keepdim=True) + 1e-6).sqrt()
    return apart @ apart.mT


def _covariance(colors: Tensor) -> Tensor:
    """(N, 3, P) → (N, 3, 4): means beside covariances."""
    mean = colors.mean(2, keepdim=True)
    apart = colors - mean
    return torch.cat([mean, apart @ apart.mT / colors.shape[2]], 2)


def _band_pass(random: torch.Generator) -> Tensor:
    """Random filters without mean, strongest in the middle; half of them for lightness."""
    weight = torch.randn(FILTERS, 3, SIDE, SIDE, generator=random)
    place = torch.arange(SIDE) - SIDE // 2
    weight *= torch.exp(-(place[:, None] ** 2 + place**2) / 5)
    weight[: FILTERS // 2] = weight[: FILTERS // 2].mean(1, keepdim=True)
    weight -= weight.mean((2, 3), keepdim=True)
    return weight / weight.flatten(1).norm(dim=1)[:, None, None, None]


def _gradient(x: Tensor) -> Tensor:
    """Sobel's, of lightness: (N, 2, H, W)."""
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], device=x.device) / 4
    luma = (x * torch.from_numpy(LUMA).to(x.device)[:, None, None]).sum(1, keepdim=True)
    kernels = torch.stack([across, across.mT])[:, None]
    return F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="replicate"), kernels)


def _blurred(x: Tensor) -> Tensor:
    """By an 11×11 Gaussian of deviation 1.5, where it fits, or a smaller one."""
    side = min(11, x.shape[2], x.shape[3])
    place = torch.arange(side, device=x.device) - (side - 1) / 2
    line = torch.exp(-(place**2) / 4.5)
    line = (line / line.sum()).view(1, 1, 1, side).expand(x.shape[1], 1, 1, side)
    return F.conv2d(F.conv2d(x, line, groups=x.shape[1]), line.mT, groups=x.shape[1])


def _smaller(x: Tensor) -> Tensor:
    """Half the size, by a 5×5 binomial filter."""
    line = torch.tensor([1.0, 4, 6, 4, 1], device=x.device) / 16
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 5, 5)
    x = F.pad(x, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(x, kernel.to(x.dtype), stride=2, groups=x.shape[1])
