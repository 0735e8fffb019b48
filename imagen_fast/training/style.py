"""One training step of a network that draws photographs in the manner of paintings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from imagen_fast.image import palette
from imagen_fast.image.strokes import of_bytes, strength_of
from imagen_fast.models.style import Stylizer
from imagen_fast.training.config import Config
from imagen_fast.training.data import Pair, PatchSampler, load_pairs
from imagen_fast.training.processes import Processes
from imagen_fast.training.style_config import StyleConfig
from imagen_fast.training.style_losses import Statistics, distances, edges, structure
from imagen_fast.training.supervised import Supervised

MARGIN = 8  # pixels around a patch that do not count: there are zeros beyond them


class Style(Supervised):
    """Pictures whose statistics are a painting's and whose edges are a photograph's.

    The network gets the photograph in the painting's colours with strokes laid on it, as
    `tasks.stylize` hands it in.

    Paintings are reduced to `side` pixels, and patches of them are turned, mirrored and, two of
    three, recoloured, so that few paintings teach many.
    """

    columns = ("loss", "texture", "together", "colors", "edges", "structure")
    scores = ()
    repeats = False

    def __init__(
        self, network: Stylizer, config: Config, style: StyleConfig, processes: Processes
    ) -> None:
        super().__init__(network, config, processes)
        self._network, self._weights, self._seed = network, style, config.run.seed
        if not config.model.warm_start:
            _wake(network)
        self._statistics = Statistics(processes.device)
        folders = [
            load_pairs(x.folder, 1, style.exclude, side=config.data.patch, reduced=style.side)
            for x in style.train
        ]
        self.pictures = {
            source.folder.name: sorted(pairs)
            for source, pairs in zip(style.train, folders, strict=True)
        }
        self._paintings = PatchSampler(
            [list(pairs.values()) for pairs in folders],
            weights=[source.weight for source in style.train],
            patch=config.data.patch,
            batch=config.data.batch,
            seed=config.run.seed,
            device=processes.device,
        )

    def step(self, number: int, low: Tensor, high: Tensor) -> dict[str, Tensor]:
        """As `Supervised.step`; `low` are the strokes of the photographs in `high`."""
        # A run that goes on sees the paintings that it would have seen.
        self._paintings.generator.manual_seed(self._seed + number)
        _, painting = self._paintings.next(self._processes.rank, self._processes.count)
        painting = recolored(painting, self._paintings.generator)
        content = torch.stack([moved(*pair) for pair in zip(high, painting, strict=True)])
        strengths = [strength_of(x.permute(1, 2, 0).cpu().numpy()) for x in painting]
        laid = torch.tensor(strengths, device=low.device)[:, None, None, None] * of_bytes(low)
        content = (content + laid).contiguous(memory_format=torch.channels_last)
        inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        with self._autocast(high):
            picture = self._network(content, painting).float()[inner]
            with torch.no_grad():
                wanted = self._statistics(painting)
            found = self._statistics(picture)
        photograph, weights = high[inner], self._weights
        losses = distances(found, wanted)
        losses["edges"] = edges(picture, photograph)
        losses["structure"] = structure(picture, photograph)
        beyond = (picture - picture.clamp(0, 1)).square().mean()
        losses["loss"] = 10 * beyond + sum(
            getattr(weights, name) * loss for name, loss in losses.items()
        )
        self._update(losses["loss"], self._parameters, self.optimisers.values())
        return {name: value.detach() for name, value in losses.items()}

    def validate(self, model: nn.Module, held_out: Sequence[Pair], step: int) -> dict[str, float]:
        """Nothing: there is no picture that it should be; `benchmarks/style.py` measures."""
        return {}


def _wake(network: Stylizer) -> None:
    """What the painting steers starts strong enough to be seen, and learned from."""
    with torch.no_grad():
        network.attention.proj.weight.mul_(10)
        network.attention.temperature.fill_(3)
        network.head.conv.weight.mul_(4)


def moved(photograph: Tensor, painting: Tensor) -> Tensor:
    """(3, H, W) in [0, 1] with its colours moved to the painting's."""
    pixels = [
        np.rint(255 * x.permute(1, 2, 0).cpu().numpy()).astype(np.uint8)
        for x in (photograph, painting)
    ]
    table = palette.table_of(*map(palette.palette_of, pixels))
    found = torch.tensor(palette.recolored(pixels[0], table), device=photograph.device)
    return found.permute(2, 0, 1) / 255


def recolored(patches: Tensor, random: torch.Generator) -> Tensor:
    """(N, 3, H, W) in [0, 1], two of three with channels in another order, contrast and gamma."""
    found = []
    for patch in patches:
        if torch.rand((), generator=random) < 2 / 3:
            patch = patch[torch.randperm(3, generator=random)]
            if torch.rand((), generator=random) < 0.25:
                patch = 1 - patch
            gamma = (0.7 * torch.rand(3, generator=random) - 0.35).exp()
            patch = patch.clamp_min(1e-4) ** gamma.to(patch.device)[:, None, None]
            grey = patch.mean(0, keepdim=True)
            vivid = 0.5 + 0.9 * float(torch.rand((), generator=random))
            patch = (grey + vivid * (patch - grey)).clamp(0, 1)
        found.append(patch)
    return torch.stack(found)
