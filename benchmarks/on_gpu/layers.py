"""The operations of a whole network, in order: which kernel, of which width, over which size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from imagen_fast.spec import ModelSpec


@dataclass(frozen=True)
class Layer:
    """One operation.

    Attributes:
        kernel: as its file in kernels/triton/ is called.
        size: (N, H, W) of its features; of down and up, the finer ones.
        channels: of its features; of down and up, the finer ones.
        coarser: of down and up.
        image_channels, scale: of stem and head.
        as_bytes: whether stem and head read and write bytes.
        head_dim, window, shift: of attention.
        cross, also: whether attention reads a context, and adds something more.
    """

    kernel: str
    size: tuple[int, int, int]
    channels: int
    coarser: int = 0
    image_channels: int = 0
    scale: int = 0
    as_bytes: bool = True
    head_dim: int = 0
    window: int = 0
    shift: int = 0
    cross: bool = False
    also: bool = False

    @property
    def name(self) -> str:
        """As tables have it: `window attention, 64, cross, shifted`."""
        parts = [self.kernel.replace("_", " "), str(self.channels)]
        if self.coarser:
            way = (self.coarser, self.channels)
            parts[1] = "{} to {}".format(*(way if self.kernel == "up" else way[::-1]))
        parts += [f"x{self.scale}"] if self.kernel == "head" else []
        parts += ["cross"] if self.cross else []
        parts += ["shifted"] if self.shift else []
        return ", ".join([*parts, *(["with an addend"] if self.also else [])])


def layers(spec: ModelSpec, n: int, h: int, w: int) -> dict[Layer, int]:
    """Each different operation of a picture's way through the network, and how often it runs."""
    return dict(Counter(_in_order(spec, n, h, w)))


def _in_order(spec: ModelSpec, n: int, h: int, w: int) -> Iterator[Layer]:
    sizes = [(n, h, w)]
    for _ in spec.levels[1:]:
        h, w = (h + 1) // 2, (w + 1) // 2
        sizes.append((n, h, w))
    picture = {"image_channels": spec.image_channels, "scale": spec.scale}
    finest = spec.levels[0].channels
    last = len(spec.levels) - 1
    yield Layer("stem", sizes[0], finest, **picture)
    for index in range(last + 1):
        if index:
            yield _between("down", spec, sizes, index - 1)
        yield from _stages(spec, sizes, index, decoder=False)
    for index in reversed(range(last + 1)):
        if index < last:
            yield _between("up", spec, sizes, index)
        yield from _stages(spec, sizes, index, decoder=True)
    yield Layer("head", sizes[0], finest, **picture)


def _between(kernel: str, spec: ModelSpec, sizes: list[tuple[int, int, int]], index: int) -> Layer:
    """From level `index` to the next coarser one, or back."""
    fine, coarse = spec.levels[index : index + 2]
    return Layer(kernel, sizes[index], fine.channels, coarser=coarse.channels)


def _stages(
    spec: ModelSpec, sizes: list[tuple[int, int, int]], index: int, *, decoder: bool
) -> Iterator[Layer]:
    level = spec.levels[index]
    for number in range(level.depth):
        for _ in range(level.convs):
            yield Layer("conv_block", sizes[index], level.channels)
        window = spec.window if level.attention == "window" else 0
        shifted = bool((number + (level.depth if decoder else 0)) % 2)
        yield Layer(
            "window_attention" if window else "global_attention",
            sizes[index],
            level.channels,
            head_dim=spec.head_dim,
            window=window,
            shift=window // 2 if shifted else 0,
            cross=decoder,
            also=decoder and index == 0 and number == level.depth - 1,
        )
