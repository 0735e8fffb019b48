"""Codes of what patches of texture look like: normal numbers that a generator can be asked with."""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen_fast.training.texture_statistics import SIZES, TextureStatistics

ROUNDS = 10  # of making codes normal
BATCH = 64
AXES = 256  # along which statistics are compared, those of the largest differences
LEAST = 1e-3  # of the largest deviation: of few patches the last axes have none
BIAS = 0.5  # weight of what all pictures of a step have in common that their patches have not
DETAIL = 10.0  # weight of details: their deviation is about a tenth, that of statistics about one


class TextureCodes:
    """Patches that are known by their statistics, and a code of each.

    A code is the patch's place along the main directions in which statistics differ, bent until all
    patches' codes together are as standard normal numbers are: what is drawn at random is then as
    likely to be near one patch's code as near another's. So a generator that makes of every code
    what looks like its patch, makes of random numbers what might have been one.

    Args:
        statistics: what a patch looks like.
        patches: (M, 3, p, p) in [0, 1].
        length: numbers of a code.

    Attributes:
        codes: (M, length), as they are before anything is learnt.
    """

    def __init__(self, statistics: TextureStatistics, patches: Tensor, length: int) -> None:
        self._statistics = statistics
        with torch.no_grad():
            known = torch.cat([statistics(part) for part in patches.split(BATCH)])
        # Each number in units of its deviation, or of a tenth of its kind's if that is more; every
        # kind counts alike, but colours and their spread twice.
        scales = []
        for part in known.split(statistics.groups, 1):
            deviation = part.std(0)
            unit = 0.9 * deviation + 0.1 * deviation.mean() + 1e-6
            scales.append((2 if part.shape[1] <= 6 else 1) / part.shape[1] ** 0.5 / unit)
        known = known * torch.cat(scales)
        parts, sizes, axes = torch.svd_lowrank(known - known.mean(0), AXES, niter=3)
        self.codes = _codes((parts * sizes)[:, :length])
        # Along each axis the root of the deviation is the unit: contrast, by which patches differ
        # most, would hide all else, and in units of the deviation itself chance counted most.
        deviations = sizes / len(known) ** 0.5
        units = (deviations + LEAST * deviations[0]).sqrt()
        self._axes = torch.cat(scales)[:, None] * axes / units  # (F, AXES)
        self._known = known @ (axes / units)  # (M, AXES)
        self._patches = patches.mul(255).round().byte()

    def distance(self, pictures: Tensor, number: Tensor) -> Tensor:
        """How unlike two sets of pictures (2 · N, 3, p, p) are to patches `number` (N,).

        The mean energy score (Gneiting and Raftery 2007) of their statistics and of the details of
        each size where they are: |x - y| - |x - x'| / 2 for two pictures x and x' of a code and its
        patch y. It is least where pictures of a code differ as much as its patches do; the distance
        alone is less for one pattern that is always at the same place. The squared difference of
        the mean statistics of all pictures and all patches is added: one picture that is a little
        too flat is near its patch, but all of them together are far from all patches. What leaves
        [0, 1] counts as well, since files cut it off.
        """
        looks, known = self._statistics(pictures), self._known[number]
        with torch.autocast(looks.device.type, enabled=False):  # small differences of large numbers
            looks = looks @ self._axes
        score = _energy(looks, known)
        score = score + BIAS * (looks - known.repeat(2, 1)).mean(0).square().sum()
        for made, real in zip(
            _details(pictures), _details(self._patches[number].float() / 255), strict=True
        ):
            score = score + DETAIL * _energy(made.flatten(1), real.flatten(1))
        return score + 10 * (pictures - pictures.clamp(0, 1)).square().mean()

    @torch.no_grad()
    def unlike(self, pictures: Tensor) -> float:
        """The energy distance of the pictures' statistics to those of all patches (Székely 2003).

        About 0 where pictures are drawn as patches are.
        """
        made = torch.cat([self._statistics(part) @ self._axes for part in pictures.split(BATCH)])

        apart = 2 * torch.cdist(made, self._known).mean()
        return float(apart - _among(made) - self._among_known)

    @cached_property
    def _among_known(self) -> Tensor:
        return _among(self._known)


def _among(x: Tensor) -> Tensor:
    """The mean distance of two different rows."""
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))


def _energy(made: Tensor, real: Tensor) -> Tensor:
    """(2 · N, F), (N, F) → the mean of the energy scores."""
    first, second = made.chunk(2)
    towards = (_norm(first - real) + _norm(second - real)) / 2
    return (towards - _norm(first - second) / 2).mean()


def _norm(x: Tensor) -> Tensor:
    """(N, F) → (N,); smooth where there is no difference."""
    return (x.square().sum(1) + 1e-4).sqrt()


def _details(pictures: Tensor) -> list[Tensor]:
    """(N, 3, p, p) → what each size has beside the next smaller, by the root of its length."""
    bands: list[Tensor] = []
    while len(bands) < SIZES and pictures.shape[-1] % 2 == 0:
        smaller = F.avg_pool2d(pictures, 2)
        band = pictures - F.interpolate(smaller, scale_factor=2)
        bands.append(band / band[0].numel() ** 0.5)
        pictures = smaller
    return bands


def _codes(parts: Tensor) -> Tensor:
    """(M, C) → the same made normal along one set of axes after another."""
    codes, length = _normal(parts), parts.shape[1]
    random = torch.Generator().manual_seed(0)
    for _ in range(ROUNDS):
        axes, _ = torch.linalg.qr(torch.randn(length, length, generator=random))
        codes = _normal(codes @ axes.to(codes.device))
    return codes


def _normal(x: Tensor) -> Tensor:
    """(M, C): each column's values replaced by a normal number's of the same rank."""
    ranks = x.argsort(0).argsort(0).double()
    return (2**0.5 * torch.erfinv(2 * (ranks + 0.5) / len(x) - 1)).float()
