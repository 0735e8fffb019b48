"""One training step of generator against discriminator, in turn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagen_fast.models.discriminator import Discriminator
from imagen_fast.models.generator import Generator
from imagen_fast.training.config import AdversarialConfig, Config, OptimiserConfig
from imagen_fast.training.optimiser import build_optimisers
from imagen_fast.training.processes import Processes
from imagen_fast.training.supervised import Supervised


class Adversarial(Supervised):
    """Pictures near their targets that a discriminator also takes for photographs.

    A step updates the discriminator on the photographs and on the generator's finest pictures,
    then the generator on its picture losses plus `weight` times its adversarial loss. The
    discriminator's weights are spectrally normalised.

    Columns beside those of `Supervised`, whose `loss` is the generator's whole: `adversarial`
    (the generator's adversarial loss), `discriminator` (its loss without the penalty), `real`
    and `fake` (mean probability that it gives either), `penalty` (R1's E|∇D|², where taken).
    """

    columns = (*Supervised.columns, "adversarial", "discriminator", "real", "fake", "penalty")
    repeats = False  # a penalty every few steps

    def __init__(
        self,
        generator: Generator,
        config: Config,
        adversarial: AdversarialConfig,
        processes: Processes,
    ) -> None:
        super().__init__(generator, config, processes)
        self._generator_optimisers = list(self.optimisers.values())
        discriminator = Discriminator(adversarial.channels, adversarial.depth, normalised=True)
        discriminator.to(processes.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._discriminator = discriminator
        self._judges = list(discriminator.parameters())
        self.modules["discriminator"] = discriminator
        rates = OptimiserConfig(adversarial.optimiser, adversarial.lr, adversarial.muon_lr)
        optimisers = build_optimisers(discriminator, rates)
        self._discriminator_optimisers = list(optimisers.values())
        self.optimisers |= {f"discriminator.{name}": o for name, o in optimisers.items()}
        self._config = adversarial
        self._discriminator_loss, self._generator_loss = LOSSES[adversarial.loss]

    def step(self, number: int, low: Tensor, high: Tensor) -> dict[str, Tensor]:
        """As `Supervised.step`."""
        pictures = self._pictures(low)
        losses = self._judge(number, high, pictures[0].detach())
        self._discriminator.requires_grad_(False)
        losses |= self.loss(pictures, high)
        losses["adversarial"] = self._generator_loss(self._logits(pictures[0]))
        losses["loss"] = losses["loss"] + self._config.weight * losses["adversarial"]
        self._update(losses["loss"], self._parameters, self._generator_optimisers)
        self._discriminator.requires_grad_(True)
        return {name: value.detach() for name, value in losses.items()}

    def _judge(self, number: int, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's half of a step."""
        on_real, on_fake = self._logits(real), self._logits(fake)
        losses = {"discriminator": self._discriminator_loss(on_real, on_fake)}
        total = losses["discriminator"]
        if self._config.r1 and number % self._config.r1_every == 0:
            losses["penalty"] = gradient_penalty(self._discriminator, real)
            total = total + self._config.r1 / 2 * self._config.r1_every * losses["penalty"]
        self._update(total, self._judges, self._discriminator_optimisers)
        return losses | {"real": on_real.sigmoid().mean(), "fake": on_fake.sigmoid().mean()}

    def _logits(self, image: Tensor) -> Tensor:
        with self._autocast(image):
            logits: Tensor = self._discriminator(image)
        return logits.float()


def article_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-E[log D(x)] - E[log(1 - D(G(z)))] from logits, finite for all of them.

    The same values as `imagen_fast.models.listing.discriminator_loss` of the probabilities.
    """
    return -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()


def article_generator_loss(fake: Tensor) -> Tensor:
    """-E[log D(G(z))] from logits, as `imagen_fast.models.listing.generator_loss`."""
    return -F.logsigmoid(fake).mean()


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))], D being the logit (Lim and Ye 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator_loss(fake: Tensor) -> Tensor:
    """-E[D(G(z))], D being the logit."""
    return -fake.mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018, arXiv:1801.04406): E|∇D(x)|² on photographs.

    D gives a logit a patch. The gradient is of their sum, and its square is divided by their
    number: that is the mean over patches where patches share no pixels, and keeps its size
    when pictures grow. In fp32 whatever the precision of training: it differentiates twice.
    """
    real = real.detach().requires_grad_(True)
    logits = discriminator(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().sum() / logits.numel()


LOSSES = {
    "article": (article_discriminator_loss, article_generator_loss),
    "hinge": (hinge_discriminator_loss, hinge_generator_loss),
}
