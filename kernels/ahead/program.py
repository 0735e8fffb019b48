"""A whole network as launches over planned memory: `triton.network.Network`, for any sizes.

Names in expressions: N, H and W are the pictures' number, height and width, P the multiprocessors
of the GPU; H1, W1 and so on the sides of coarser levels, which `Program.sizes` defines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..triton.packed import GeneratorWeights, StageWeights
from . import convolutions as conv
from .attention import Block, of_attention
from .expression import Size, cdiv, most
from .launch import Buffer, Launch, Weight

IMAGES = Size("N")


@dataclass
class Program:
    """What a GPU of one architecture does with pictures of any size.

    Attributes:
        arch: of the GPU, as 90 for sm_90.
        sizes: names that expressions use beside N, H, W and P, each defined by those before it.
        buffers: name → kind ("sample", "feature" or "flag") and elements.
        weights: the packed tensors by name.
        launches: in order.
    """

    arch: int
    sizes: dict[str, Size] = field(default_factory=dict)
    buffers: dict[str, tuple[str, Size | int]] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    launches: list[Launch] = field(default_factory=list)


def program_of(weights: GeneratorWeights, arch: int) -> Program:
    """The finest picture's launches on sm_`arch`; `weights` may lie anywhere."""
    return _Builder(weights, arch).whole()


class _Builder:
    """Follows `Network.run`, step by step."""

    def __init__(self, weights: GeneratorWeights, arch: int) -> None:
        self.weights, self.program, self.arch = weights, Program(arch), arch
        self.scratch: list[Size] = []  # of the operations that need some, each once
        self.turn = 0
        self.shapes: list[conv.Shape] = []
        for level in range(len(weights.encoder)):
            if level:
                for side, before in zip("HW", self.shapes[-1][1:], strict=True):
                    self.program.sizes[f"{side}{level}"] = cdiv(before, 2)
            number = str(level) if level else ""
            self.shapes.append((IMAGES, Size(f"H{number}"), Size(f"W{number}")))

    def whole(self) -> Program:
        self._plan()
        features = self._encode()
        self._decode(features)
        self._set("scratch", "feature", _largest([Size(0), *self.scratch]))
        return self.program

    def _plan(self) -> None:
        spec, (n, h, w) = self.weights.spec, self.shapes[0]
        samples = n * h * w * spec.image_channels
        self._set("image", "sample", samples)
        self._set("picture", "sample", samples * spec.scale**2)
        self._set("not_finite", "flag", 1)
        maps = [
            n * h * w * level.channels
            for (n, h, w), level in zip(self.shapes, spec.levels, strict=True)
        ]
        self._set("stem", "feature", maps[0])
        for level, elements in enumerate(maps):
            self._set(f"features{level}", "feature", elements)
        for place in ("work0", "work1"):
            self._set(place, "feature", _largest(maps))

    def _set(self, name: str, kind: str, elements: Size | int) -> None:
        self.program.buffers[name] = kind, elements

    def _encode(self) -> list[Buffer]:
        weights, x = self.weights, Buffer("stem")
        names = self._keep("stem", weights.stem)
        self.program.launches += conv.of_stem(weights.stem, names, self.arch, self.shapes[0], x)
        features = []
        for level, stages in enumerate(weights.encoder):
            if level:
                packed, out = weights.downs[level - 1], self._work()
                names = self._keep(f"down{level}", packed)
                shapes = self.shapes[level - 1], self.shapes[level]
                self.program.launches.append(
                    conv.of_down(packed, names, self.arch, *shapes, x, out)
                )
                x = out
            x = self._stages(f"encoder{level}", stages, level, x, out=Buffer(f"features{level}"))
            features.append(x)
        return features

    def _decode(self, features: Sequence[Buffer]) -> None:
        weights, x = self.weights, features[-1]
        for level in reversed(range(len(features))):
            if level < len(features) - 1:
                packed, out = weights.ups[level], self._work()
                names = self._keep(f"up{level}", packed)
                shapes = self.shapes[level + 1], self.shapes[level]
                self.program.launches.append(
                    conv.of_up(packed, names, self.arch, *shapes, x, features[level], out)
                )
                x = out
            also = None if level else Buffer("stem")
            stages = weights.decoder[level]
            name = f"decoder{level}"
            x = self._stages(name, stages, level, x, context=features[level], also=also)
        names = self._keep("head", weights.heads[0])
        self.program.launches += conv.of_head(weights.heads[0], names, self.arch, self.shapes[0], x)

    def _stages(
        self,
        name: str,
        stages: Sequence[StageWeights],
        level: int,
        x: Buffer,
        *,
        context: Buffer | None = None,
        also: Buffer | None = None,
        out: Buffer | None = None,
    ) -> Buffer:
        shape = self.shapes[level]
        for index, stage in enumerate(stages):
            for number, packed in enumerate(stage.convs):
                target = self._work()
                names = self._keep(f"{name}.{index}.conv{number}", packed)
                self.program.launches.append(
                    conv.of_conv_block(packed, names, self.arch, shape, x, target)
                )
                x = target
            last = index == len(stages) - 1
            target = out if last and out is not None else self._work()
            names = self._keep(f"{name}.{index}.attention", stage.attention)
            added = also if last else None
            launches, scratch = of_attention(
                Block(
                    *(stage.attention, names, self.arch, shape, stage.shift),
                    *(x, context, added, target),
                )
            )
            self.program.launches += launches
            if isinstance(scratch, Size) and scratch not in self.scratch:
                self.scratch.append(scratch)
            x = target
        return x

    def _work(self) -> Buffer:
        """Where the last operation's result is not; see `buffers.Place.work`."""
        self.turn = 1 - self.turn
        return Buffer(f"work{self.turn}")

    def _keep(self, name: str, packed: object) -> dict[str, Weight]:
        """The tensors of a tuple of packed weights, but for cuDNN's, by the tuple's names."""
        found = {}
        for part, value in packed._asdict().items():  # type: ignore[attr-defined]
            if isinstance(value, Tensor) and part != "filters":
                self.program.weights[f"{name}.{part}"] = value
                found[part] = Weight(f"{name}.{part}")
        return found


def _largest(sizes: Sequence[Size]) -> Size:
    largest, *others = sizes
    for size in others:
        largest = most(largest, size)
    return largest
