"""What generator and discriminator play for: losses of D's logits, and penalties of its slope.

A pair of losses is called with the logits of photographs x and of made pictures G(z), a batch of
each, (N, 1, h, w) with one logit a patch. Both players minimise theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]  # logits of photographs, of made pictures → a number


def article_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_D = -E[log D(x)] - E[log(1 - D(G(z)))] from logits, finite for all of them.

    D here is the probability, the logit's sigmoid. The same values as
    `imagen_fast.models.listing.discriminator_loss` of the probabilities.
    """
    return -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()


def article_generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_G = -E[log D(G(z))] from logits, as `imagen_fast.models.listing.generator_loss`.

    It is not minus L_D: where D is sure that a picture is made, log(1 - D(G(z))) is flat and
    -log D(G(z)) is steep. Both fall as D(G(z)) rises, so the sign is the one that a generator
    minimises.
    """
    return -F.logsigmoid(fake).mean()


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))], D being the logit (Lim and Ye 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E[D(G(z))], D being the logit."""
    return -fake.mean()


def relativistic_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[softplus(D(G(z)) - D(x))]: a photograph against a made picture, pair by pair.

    D is the logit. No single logit can win, only a difference, so a generator that drops a kind
    of picture loses against the photographs of that kind (Jolicoeur-Martineau 2019,
    arXiv:1807.00734; with R1 and R2: Huang et al. 2024, arXiv:2501.05441).
    """
    return F.softplus(fake - real).mean()


def relativistic_generator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[softplus(D(x) - D(G(z)))], the same with the roles changed."""
    return F.softplus(real - fake).mean()


LOSSES: dict[str, tuple[Loss, Loss]] = {
    "article": (article_discriminator_loss, article_generator_loss),
    "hinge": (hinge_discriminator_loss, hinge_generator_loss),
    "relativistic": (relativistic_discriminator_loss, relativistic_generator_loss),
}


def gradient_penalty(discriminator: nn.Module, pictures: Tensor) -> Tensor:
    """E|∇D|² on photographs, R1, or on made pictures, R2 (Mescheder et al. 2018, arXiv:1801.04406).

    D gives a logit a patch. The gradient is of their sum, and its square is divided by their
    number: that is the mean over patches where patches share no pixels, and keeps its size
    when pictures grow. In fp32 whatever the precision of training: it differentiates twice.
    """
    pictures = pictures.detach().requires_grad_(True)
    logits = discriminator(pictures)
    (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient.square().sum() / logits.numel()


def feature_distance(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """How far the mean features of made pictures are from those of photographs.

    The features are the discriminator's maps (N, C, h, w). Of each the L1 distance of means and of
    standard deviations over batch and places, in units of the photographs' standard deviation,
    and of that the mean (feature matching: Salimans et al. 2016, arXiv:1606.03498).
    """
    distances = []
    for x, y in zip(real, fake, strict=True):
        (mean, deviation), (made, made_deviation) = _moments(x.detach()), _moments(y)
        distances.append((mean - made).abs() / (deviation + 1e-3))
        distances.append((deviation - made_deviation).abs() / (deviation + 1e-3))
    return torch.cat(distances).mean()


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, h, w) → means and standard deviations over batch and places, (C,) each.

    By the mean of squares: `Tensor.std` takes twenty times as long.
    """
    x = x.float()
    mean = x.mean((0, 2, 3))
    return mean, (x.square().mean((0, 2, 3)) - mean.square()).clamp_min(1e-12).sqrt()
