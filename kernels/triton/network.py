"""A whole generator on the kernels: `models.generator.Generator`, operation by operation.

Activations are (N, H, W, C) in the weights' dtype, pictures float32 or uint8. What operations
write goes to a `Place`: planned memory, or what each of them allocates, in which case PyTorch's
compiler and exporter see the operations and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from . import ops
from .attention_weights import AttentionWeights
from .buffers import Place, Plan
from .ops.global_attention import scratch_elements as scratch_of_picture
from .ops.window_attention import scratch_elements as scratch_of_windows
from .packed import GeneratorWeights, StageWeights


class Network:
    """Runs packed weights. Holds nothing of a run: a `Place` does."""

    def __init__(self, weights: GeneratorWeights) -> None:
        self.weights = weights
        self.spec = weights.spec

    def plan(self, shape: tuple[int, ...]) -> Plan:
        """The memory for pictures (N, H, W, C): stem, features of all levels, work, scratch."""
        maps = self._maps(*shape[:3])
        attentions = [
            (stage.attention, size)
            for part in (self.weights.encoder, self.weights.decoder)
            for stages, size in zip(part, maps, strict=True)
            for stage in stages
        ]
        scratch = max(_scratch(*each) for each in attentions)
        return Plan(self.weights.dtype, (maps[0], *maps), tuple(maps), scratch)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Of the picture that results."""
        n, h, w, c = shape
        return n, self.spec.scale * h, self.spec.scale * w, c

    def run(
        self,
        image: Tensor,
        place: Place | None = None,
        *,
        out: Tensor | None = None,
        not_finite: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(N, H, W, C) uint8 or float32 in [0, 1] → (N, s·H, s·W, C) of the same dtype, clamped.

        Args:
            place: from `plan(image.shape).place(...)`; None to allocate.
            out, not_finite: see `ops.head`.

        Returns:
            The picture, and a (1,) int32 that is 1 if it is not finite.
        """
        place = place or Place()
        stem, features = self._encode(image, place)
        *_, (_, x) = self._decode(features[-1], features, features, place, also=stem)
        as_bytes = image.dtype == torch.uint8
        return ops.head(
            x, self.weights.heads[0], image, as_bytes=as_bytes, out=out, not_finite=not_finite
        )

    def features(self, image: Tensor) -> list[Tensor]:
        """The encoder's feature maps, finest first: level i is (N, ⌈H/2^i⌉, ⌈W/2^i⌉, C_i)."""
        return self._encode(image, Place())[1]

    def progressive(
        self, image: Tensor, context: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Every level's picture, finest first, float32, and (1,) int32 above 0 if not finite.

        image: (N, H, W, C) float32. context: another picture's `features`, of the same sizes.
        """
        stem, features = self._encode(image, Place())
        bases = [image]
        for _ in features[1:]:
            bases.append(halve(bases[-1]))
        decoded = self._decode(features[-1], features, context or features, Place(), also=stem)
        return self._pictures(decoded, bases)

    def generate(
        self, latent: Tensor, context: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Pictures from a latent (N, h, w, latent_channels) float32; as `progressive`.

        Raises:
            ValueError: the model has no latent entry.
        """
        if self.weights.latent is None:
            raise ValueError("this model has no latent entry: its spec has latent_channels 0")
        nothing: list[Tensor | None] = [None] * len(self.spec.levels)
        x = ops.linear(latent.to(self.weights.dtype), self.weights.latent)
        decoded = self._decode(x, nothing, context or nothing, Place())
        return self._pictures(decoded, nothing)

    def _maps(self, n: int, h: int, w: int) -> list[tuple[int, ...]]:
        """Shapes of the levels' feature maps."""
        maps: list[tuple[int, ...]] = []
        for level in self.spec.levels:
            maps.append((n, h, w, level.channels))
            h, w = (h + 1) // 2, (w + 1) // 2
        return maps

    def _encode(self, image: Tensor, place: Place) -> tuple[Tensor, list[Tensor]]:
        """The stem's output and every level's features."""
        stem = x = ops.stem(image, self.weights.stem, out=place.kept(0))
        features = []
        for level, stages in enumerate(self.weights.encoder):
            if level:
                x = ops.down(x, self.weights.downs[level - 1], out=place.work(level))
            x = _run_stages(x, stages, level, place, out=place.kept(1 + level))
            features.append(x)
        return stem, features

    def _decode(
        self,
        x: Tensor,
        skips: Sequence[Tensor | None],
        contexts: Sequence[Tensor | None],
        place: Place,
        also: Tensor | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Each level and what is decoded there, the coarsest first; `also` is added to the finest.

        With a `Place` of planned memory, a level's result lasts until the next one is asked for.
        """
        for level in reversed(range(len(self.spec.levels))):
            if level < len(self.spec.levels) - 1:
                x = ops.up(x, self.weights.ups[level], skips[level], out=place.work(level))
            last = None if level else also
            stages = self.weights.decoder[level]
            x = _run_stages(x, stages, level, place, context=contexts[level], also=last)
            yield level, x

    def _pictures(
        self, decoded: Iterator[tuple[int, Tensor]], bases: Sequence[Tensor | None]
    ) -> tuple[list[Tensor], Tensor]:
        pictures, flags = [], []
        for level, x in decoded:
            picture, flag = ops.head(x, self.weights.heads[level], bases[level])
            pictures.insert(0, picture)
            flags.append(flag)
        return pictures, torch.stack(flags).sum(0)


def _run_stages(
    x: Tensor,
    stages: Sequence[StageWeights],
    level: int,
    place: Place,
    *,
    context: Tensor | None = None,
    also: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """A level's stages; the last one adds `also` and writes to `out`, or to a place for work."""
    for index, stage in enumerate(stages):
        for conv in stage.convs:
            x = ops.conv_block(x, conv, out=place.work(level))
        last = index == len(stages) - 1
        target = out if last and out is not None else place.work(level)
        added = also if last else None
        if stage.attention.window:
            x = ops.window_attention(
                x, stage.attention, context, added, shift=stage.shift, out=target,
                scratch=place.scratch,
            )  # fmt: skip
        else:
            x = ops.global_attention(
                x, stage.attention, context, added, out=target, scratch=place.scratch
            )
    return x


def _scratch(weights: AttentionWeights, shape: tuple[int, ...]) -> int:
    """Elements for an attention block over (N, H, W, C) and a context like it."""
    if weights.window:
        return scratch_of_windows(weights, shape)
    pixels = shape[0] * shape[1] * shape[2]
    return scratch_of_picture(weights, pixels, pixels)


def halve(image: Tensor) -> Tensor:
    """(N, H, W, C) → (N, ⌈H/2⌉, ⌈W/2⌉, C) by averaging 2×2 pixels; an odd last row repeats."""
    h, w = image.shape[1:3]
    x = F.pad(image.permute(0, 3, 1, 2), (0, w % 2, 0, h % 2), mode="replicate")
    return F.avg_pool2d(x, 2).permute(0, 2, 3, 1).contiguous()
