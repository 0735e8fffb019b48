"""The generator's opponent: a discriminator, what it learns from, and what the generator hears."""

from __future__ import annotations

import torch
from torch import Tensor

from imagen_fast.models.discriminator import Discriminator
from imagen_fast.training.adversarial_losses import LOSSES, feature_distance, gradient_penalty
from imagen_fast.training.augmentation import augment
from imagen_fast.training.config import AdversarialConfig, OptimiserConfig
from imagen_fast.training.optimiser import build_optimisers
from imagen_fast.training.processes import Processes


class Opponent:
    """A discriminator with its optimisers.

    Attributes:
        discriminator: the network.
        optimisers: by name.
    """

    columns = ("adversarial", "features", "discriminator", "real", "fake", "penalty")

    def __init__(
        self, config: AdversarialConfig, processes: Processes, precision: str, beta: float = 0.9
    ) -> None:
        discriminator = Discriminator(
            config.channels, config.depth, fold=config.fold, normalised=config.spectral
        )
        discriminator.to(processes.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator
        rates = OptimiserConfig(config.optimiser, config.lr, config.muon_lr)
        self.optimisers = build_optimisers(discriminator, rates, beta)
        self._parameters = list(discriminator.parameters())
        self._config, self._processes, self._precision = config, processes, precision
        self._discriminator_loss, self._generator_loss = LOSSES[config.loss]

    def learn(self, number: int, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's half of step `number`, on (N, 3, H, W) each.

        Returns `discriminator` (its loss without penalties), `real` and `fake` (the mean
        probability that it gives either) and, where taken, `penalty` (E|∇D|² of R1, and of R2 if
        that has a weight).
        """
        config = self._config
        self.discriminator.requires_grad_(True)
        real, fake = augment(real, config.augment), augment(fake.detach(), config.augment)
        (on_real, _), (on_fake, _) = self._judge(real), self._judge(fake)
        losses = {"discriminator": self._discriminator_loss(on_real, on_fake)}
        total = losses["discriminator"]
        if number % config.r1_every == 0:
            for weight, pictures in ((config.r1, real), (config.r2, fake)):
                if weight:
                    penalty = gradient_penalty(self.discriminator, pictures)
                    total = total + weight / 2 * config.r1_every * penalty
                    losses["penalty"] = losses.get("penalty", 0) + penalty
        for p in self._parameters:
            p.grad = None
        total.backward()
        self._processes.average_gradients(self._parameters)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return losses | {"real": on_real.sigmoid().mean(), "fake": on_fake.sigmoid().mean()}

    def losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """What the generator makes small: `adversarial` and, if it has a weight, `features`."""
        self.discriminator.requires_grad_(False)
        on_fake, made = self._judge(augment(fake, self._config.augment))
        needed = self._config.features or self._config.loss == "relativistic"
        on_real, seen = on_fake.detach(), made
        if needed:
            with torch.no_grad():
                on_real, seen = self._judge(augment(real, self._config.augment))
        losses = {"adversarial": self._generator_loss(on_real, on_fake)}
        if self._config.features:
            losses["features"] = feature_distance(seen, made)
        return losses

    def weighted(self, losses: dict[str, Tensor]) -> Tensor:
        """The sum of what `losses` gave, by the configuration's weights."""
        total = self._config.weight * losses["adversarial"]
        if "features" in losses:
            total = total + self._config.features * losses["features"]
        return total

    def _judge(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        enabled = self._precision == "bf16"
        with torch.autocast(image.device.type, torch.bfloat16, enabled=enabled):
            logits, features = self.discriminator.judge(image)
        return logits.float(), features
