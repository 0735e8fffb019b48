"""One training step of a decoder that makes pictures from a random latent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagen_fast.image.picture import Picture
from imagen_fast.image.write import write
from imagen_fast.models.generator import Generator
from imagen_fast.training.config import AdversarialConfig, Config, GenerationConfig
from imagen_fast.training.data import Pair, PatchSampler
from imagen_fast.training.gradients import Pictures
from imagen_fast.training.losses import spectrum_distance
from imagen_fast.training.opponent import Opponent
from imagen_fast.training.optimiser import build_optimisers
from imagen_fast.training.processes import Processes
from imagen_fast.training.resemblance import features, kernel_distance, likeness
from imagen_fast.training.result import earlier_codes
from imagen_fast.training.supervised import Supervised
from imagen_fast.training.texture_codes import TextureCodes
from imagen_fast.training.texture_statistics import TextureStatistics

SHOWN = 8  # rows and columns of a sheet of samples
BATCH = 32
SCORED = 128  # pictures that a score is made of
STRETCH, MOST = 0.05, 1.5  # by which codes are stretched in the end at a time, and in all
CALIBRATED = 512  # pictures by which they are
KNOWN = 4096  # patches that have codes; with 128, more pictures were alike than of real ones are
CODES_LR = 1.5  # of 16 pictures a step a slope is 0.25, and 1,000 steps ask a code twice


class Generation(Supervised):
    """Pictures that a discriminator takes for patches of photographs, from numbers alone.

    A latent (N, C, h, w) is standard normal, and so are those that steer the levels, (N, C_i, h_i,
    w_i). The first `shared` channels are the same all over a picture and in all of them, so they
    say what it shows, and the others how (after Bergmann et al. 2017, arXiv:1705.06566). Every
    coarser level's picture learns to be the finest one made smaller. With `loss.frequency` the mean
    spectrum of what is made learns to be that of the photographs. With `generation.look` the shared
    numbers of a step are codes of patches (see `TextureCodes`), and a picture learns to look like
    the patch of its code, and the code to ask for it (Bojanowski et al. 2017, arXiv:1707.05776; of
    codes as they are at first, what is made differs less than patches do); without a
    discriminator's `weight` and `features` that is all that it learns from.

    `validate` writes a sheet of samples, of the same latents each time, and gives `distance`, the
    kernel distance to the held-out pictures, and `likeness` of pictures to each other.
    """

    columns = ("loss", "coarse", "frequency", "look", *Opponent.columns)
    scores = ("distance", "likeness")
    repeats = False

    def __init__(
        self,
        generator: Generator,
        config: Config,
        adversarial: AdversarialConfig | None,
        generation: GenerationConfig,
        processes: Processes,
    ) -> None:
        super().__init__(generator, config, processes)
        if not config.model.warm_start:
            _wake(generator)
        # What is learnt moves as fast as the learner where there is a discriminator.
        self.optimisers = build_optimisers(
            generator, config.optimiser, MOMENTUM if adversarial else 0.9
        )
        self._generator_optimisers = list(self.optimisers.values())
        self._opponent: Opponent | None = None
        if adversarial:
            self._opponent = Opponent(adversarial, processes, self.precision, MOMENTUM)
            self.modules["discriminator"] = self._opponent.discriminator
            self.optimisers |= {
                f"discriminator.{name}": o for name, o in self._opponent.optimisers.items()
            }
        self._weights, self._output = config.loss, config.run.output
        self._settings, self._channels = generation, config.model.latent
        self._warm_start = config.model.warm_start
        spec = config.model.spec
        self._levels = spec.levels
        self._place = spec.scale * 2 ** (len(spec.levels) - 1)  # pixels of a place of the latent
        self._side = config.data.patch // self._place
        self._looks: TextureCodes | None = None
        self._codes = nn.Embedding(KNOWN, generation.shared).to(self._device)
        if generation.look:
            self.modules["codes"] = self._codes
            self._codes.weight.register_hook(_no_leaps)
            self.optimisers["codes"] = torch.optim.SGD(self._codes.parameters(), CODES_LR)
            self._parameters += self._codes.parameters()
            self._generator_optimisers.append(self.optimisers["codes"])
        self._latents: Sequence[Tensor] = ()  # that steer this step's pictures

    def _forward(self) -> Pictures:
        return lambda latent: self._generate(self._generator, latent, self._latents)

    def begin(self, data: PatchSampler) -> None:
        """Learns the codes of patches, if the configuration asks for them."""
        if not self._settings.look:
            return
        statistics = TextureStatistics().to(self._device)
        patches: list[Tensor] = []
        while sum(map(len, patches)) < KNOWN:
            patches.append(data.next()[1])
        self._looks = TextureCodes(statistics, torch.cat(patches)[:KNOWN], self._settings.shared)
        codes = self._looks.codes
        if self._warm_start:
            earlier = torch.tensor(earlier_codes(self._warm_start)).to(codes)
            codes = earlier if earlier.shape == codes.shape else codes
        with torch.no_grad():
            self._codes.weight.copy_(codes)

    def codes(self, model: Generator | None) -> list[list[float]]:
        """Of the patches; with a finished model so far apart that its pictures differ as they do.

        What is learnt of a code is partly what is true of all that are near it, so pictures of the
        codes themselves differ less than the patches.
        """
        if not self._looks:
            return []
        gain = self._gain(model) if model else 1.0
        return [[round(gain * x, 2) for x in code] for code in self._codes.weight.tolist()]

    def _gain(self, model: Generator) -> float:
        """How far codes are stretched: until more makes pictures less like the patches."""
        gain, unlike = 1.0, self._unlike(model, 1.0)
        while gain < MOST and (after := self._unlike(model, gain + STRETCH)) < unlike:
            gain, unlike = gain + STRETCH, after
        return gain

    def _unlike(self, model: Generator, gain: float) -> float:
        """How far pictures of codes times `gain` are from the patches, all together."""
        assert self._looks
        made = self._made(model, CALIBRATED, torch.Generator().manual_seed(0), gain)
        return self._looks.unlike(made.to(self._device))

    def step(self, number: int, low: Tensor, high: Tensor) -> dict[str, Tensor]:
        """As `Supervised.step`; of the pictures only `high` counts."""
        latent, *self._latents = self._drawn(len(high))
        if self._looks:
            chosen = torch.randint(KNOWN, (len(high) // 2,)).to(self._device)
            self._ask([latent, *self._latents], self._codes(chosen).repeat(2, 1))
        pictures = self._pictures(latent)
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=high.device)
        if self._opponent:
            losses = self._opponent.learn(number, high, pictures[0])
            heard = self._opponent.losses(high, pictures[0])
            losses |= heard
            total = self._opponent.weighted(heard)
        coarse, target = torch.zeros((), device=high.device), pictures[0].detach()
        for picture in pictures[1:]:
            target = F.avg_pool2d(target, 2)
            coarse = coarse + F.l1_loss(picture, target)
        losses["coarse"] = coarse
        losses["loss"] = total + self._weights.coarse * coarse
        if self._looks:
            with self._autocast(high):
                losses["look"] = self._looks.distance(pictures[0], chosen)
            losses["loss"] = losses["loss"] + self._settings.look * losses["look"]
        if self._weights.frequency:
            losses["frequency"] = spectrum_distance(pictures[0], high)
            losses["loss"] = losses["loss"] + self._weights.frequency * losses["frequency"]
        self._update(losses["loss"], self._parameters, self._generator_optimisers)
        return {name: value.detach() for name, value in losses.items()}

    def validate(self, model: Generator, held_out: Sequence[Pair], step: int) -> dict[str, float]:
        """See the class. The sheet is `samples/{step}.png` in the run's folder."""
        random = torch.Generator().manual_seed(0)
        made = self._made(model, SCORED, random)
        folder = self._output / "samples"
        folder.mkdir(exist_ok=True)
        write(folder / f"{step:07}.png", Picture(sheet(made[: SHOWN**2])))
        scores = {"likeness": likeness(made)}
        if held_out:
            scores["distance"] = kernel_distance(features(self._patches(held_out)), features(made))
        return scores

    def _patches(self, held_out: Sequence[Pair]) -> Tensor:
        """(M, 3, p, p): of each held-out picture that is large enough, nine or as many as differ.

        Of fewer patches the distance says less: the features' units are taken from them.
        """
        side = self._side * self._place
        cut = []
        for _, picture in held_out[:SCORED]:
            ends = [length - side for length in picture.shape[:2]]
            tops, lefts = (sorted({0, end // 2, end}) if end >= 0 else [] for end in ends)
            cut += [picture[y : y + side, x : x + side] for y in tops for x in lefts]
        return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255

    @torch.inference_mode()
    def _made(
        self, model: Generator, count: int, random: torch.Generator, gain: float = 1.0
    ) -> Tensor:
        """The finest pictures, (N, 3, p, p) in [0, 1] on the CPU, in fp32."""
        parts = []
        for first in range(0, count, BATCH):
            latent, *latents = self._drawn(min(BATCH, count - first), random)
            if self._looks:
                chosen = torch.randint(KNOWN, (len(latent),), generator=random)
                self._ask([latent, *latents], gain * self._codes(chosen.to(self._device)))
            parts.append(self._generate(model, latent, latents)[0].clamp(0, 1).cpu())
        return torch.cat(parts)

    def _generate(
        self, model: Generator, latent: Tensor, latents: Sequence[Tensor]
    ) -> list[Tensor]:
        """The pictures of every level, finest first, without their margins."""
        pictures = []
        for number, picture in enumerate(model.generate(latent, latents)):
            margin = self._settings.margin * self._place // 2**number
            side = self._side * self._place // 2**number
            pictures.append(picture[:, :, margin : margin + side, margin : margin + side].float())
        return pictures

    def _drawn(self, count: int, random: torch.Generator | None = None) -> list[Tensor]:
        """A latent, and those that steer the levels, finest first."""
        side, last = self._side + 2 * self._settings.margin, len(self._levels) - 1
        sizes = [(self._channels, side)]
        sizes += [(level.channels, side * 2 ** (last - i)) for i, level in enumerate(self._levels)]
        drawn = [
            self._here(torch.randn(count, channels, size, size, generator=random))
            for channels, size in sizes
        ]
        self._ask(drawn, drawn[0][:, : self._settings.shared, 0, 0])
        return drawn

    def _ask(self, latents: Sequence[Tensor], codes: Tensor) -> None:
        """Makes codes (N, shared) what the latents' pictures show."""
        for x in latents:
            x[:, : self._settings.shared] = codes[:, :, None, None]

    def _here(self, x: Tensor) -> Tensor:
        return x.to(self._device).to(memory_format=torch.channels_last)


MOMENTUM = 0.0


def _no_leaps(slopes: Tensor) -> Tensor:
    """(M, length) → the same, none longer than 1: what a new generator makes of codes is chance."""
    return slopes / slopes.norm(dim=1, keepdim=True).clamp(min=1)


def _wake(generator: Generator) -> None:
    """Pictures of a new generator are grey and vary, so there is something to learn from.

    (New networks for pictures start near the input, which there is none of here.)
    """
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.startswith("decoder.ups") and name.endswith("weight"):
                parameter.mul_(10)
            if ".steers." in name:
                parameter.mul_(0.5 if name.endswith("weight") else 0)
            if name.startswith("heads"):
                parameter.mul_(3) if name.endswith("weight") else parameter.fill_(0.5)


def sheet(pictures: Tensor) -> np.ndarray:
    """(rows², 3, p, p) in [0, 1] → one picture (H, W, 3) in bytes, in rows."""
    rows = round(len(pictures) ** 0.5)
    framed = F.pad(pictures[: rows**2], (0, 2, 0, 2), value=1.0)
    _, c, h, w = framed.shape
    grid = framed.view(rows, rows, c, h, w).permute(0, 3, 1, 4, 2)  # (rows, h, columns, w, 3)
    pixels: np.ndarray = grid.reshape(rows * h, rows * w, c).mul(255).round().byte().numpy()
    return pixels
