"""One training step of generator against discriminator, in turn, towards given targets."""

from __future__ import annotations

from torch import Tensor

from imagen_fast.models.generator import Generator
from imagen_fast.training.config import AdversarialConfig, Config
from imagen_fast.training.opponent import Opponent
from imagen_fast.training.processes import Processes
from imagen_fast.training.supervised import Supervised


class Adversarial(Supervised):
    """Pictures near their targets that a discriminator also takes for photographs.

    A step updates the discriminator on the photographs and on the generator's finest pictures,
    then the generator on its picture losses plus those of the opponent, by their weights.

    Columns beside those of `Supervised`, whose `loss` is the generator's whole, are those of
    `Opponent`.
    """

    columns = (*Supervised.columns, *Opponent.columns)
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
        self._opponent = Opponent(adversarial, processes, self.precision)
        self.modules["discriminator"] = self._opponent.discriminator
        self.optimisers |= {
            f"discriminator.{name}": o for name, o in self._opponent.optimisers.items()
        }

    def step(self, number: int, low: Tensor, high: Tensor) -> dict[str, Tensor]:
        """As `Supervised.step`."""
        pictures = self._pictures(low)
        losses = self._opponent.learn(number, high, pictures[0])
        losses |= self.loss(pictures, high)
        heard = self._opponent.losses(high, pictures[0])
        losses |= heard
        losses["loss"] = losses["loss"] + self._opponent.weighted(heard)
        self._update(losses["loss"], self._parameters, self._generator_optimisers)
        return {name: value.detach() for name, value in losses.items()}
