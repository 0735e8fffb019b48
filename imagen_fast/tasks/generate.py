"""Pictures from nothing but a seed: latents, and what a generator makes of them.

A latent is standard normal numbers, (h, w, C); one place of it becomes `Generator.place` pixels to
a side. More of them steer every level of the decoder. The first channels of all, as many as the
model's file says, are the same all over a picture and say what it shows; the others differ from
place to place. Where the file has codes, the first channels are one of them, since between what was
learnt there may be nothing.

Picture number i of seed s is drawn by NumPy's counter-based Philox with the key (s, i): first the
shared numbers, or which code they are, then the others row by row, then each level's, the finest
first. So it is the same however many are made with it.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast import loading
from imagen_fast.backends import Backend
from imagen_fast.errors import BackendError, ImageError, WeightsError
from imagen_fast.graph.reach import alignment, radius

Latent = dict[str, NDArray[np.float32]]  # (h, w, C) by the names of the graph's inputs
Pixels = NDArray[np.uint8]  # (H, W, 3)

MODEL = "texture"  # of the shipped models the one that makes pictures from nothing
MOST_SIDE = 16_384
MOST_SEED = 2**64


def generate(
    count: int = 1,
    seed: int = 0,
    *,
    model: str | os.PathLike[str] = MODEL,
    size: tuple[int, int] | None = None,
    seamless: bool = False,
    truncation: float = 1.0,
    **options: Any,
) -> Pixels:
    """`count` pictures (N, H, W, 3), uint8.

    Args:
        model: a shipped generator's name or a file, as `imagen-fast train` makes it of a
            configuration with `[generation]`.
        size: height and width; None for those of the pictures that it learnt from.
        seamless: what leaves a picture at an edge comes in at the other, so copies side by side
            show no seam.
        truncation: how far from the mean latents lie: 1 as learnt, less for less variety.
        options: `backend`, `device`, `precision` ("fp32" unless given), `threads` and `isa`, as of
            `imagen_fast.load`.

    Raises:
        WeightsError, BackendError: as `imagen_fast.load`; or the model is no generator.
        ImageError: it makes no pictures of this size; says which.
    """
    with Generator(model, **options) as generator:
        latents = generator.latents(count, seed, size, truncation)
        return np.stack([generator.picture(x, size, seamless) for x in latents])


@dataclass(frozen=True)
class Learnt:
    """What a generator's file says of its latents.

    Attributes:
        shared: channels that are the same all over a picture.
        margin: places around a picture, cut off again. A model without makes pictures of `side`
            alone: they have edges, and it learnt where things are in them.
        side: pixels of what it learnt from.
        codes: what the shared channels were for what it learnt from, (M, shared); empty for
            standard normal numbers.
    """

    shared: int
    margin: int
    side: int
    codes: Sequence[Sequence[float]] = ()


class Generator:
    """A model that makes pictures. A context manager. Arguments as those of `imagen_fast.load`.

    Attributes:
        place: pixels of a place of the latent.
        learnt: what the model's file says.
    """

    def __init__(self, model: str | os.PathLike[str], **options: Any) -> None:
        self._backend: Backend = loading.load_generator(model, **options)
        graph = self._backend.graph
        self.place = graph.scale
        try:
            fewest = min(given.channels for given in graph.inputs.values())
            self.learnt = _learnt(self._backend, fewest, self.place)
        except WeightsError:
            self.close()
            raise

    @property
    def backend(self) -> Backend:
        """What computes."""
        return self._backend

    def latents(
        self,
        count: int,
        seed: int,
        size: tuple[int, int] | None = None,
        truncation: float = 1.0,
    ) -> Iterator[Latent]:
        """`count` latents for pictures of this height and width. See the module for their order.

        Raises:
            ImageError: count, seed, truncation or size are out of range, or the model makes no
                pictures of this size.
            BackendError: memory for such a picture is not there.
        """
        try:
            count, seed = operator.index(count), operator.index(seed)
        except TypeError:
            raise ImageError(f"count is {count!r} and seed {seed!r}; expected integers") from None
        if count < 1 or not 0 <= seed < MOST_SEED:
            raise ImageError(
                f"{count} pictures of seed {seed}; expected at least 1, and a seed from 0 to 2^64-1"
            )
        if not 0 <= truncation <= 10:
            raise ImageError(f"truncation is {truncation}; expected a number from 0 to 10")
        height, width = self._places(size)
        self._check_room(height, width)
        return (self._latent(seed, i, height, width, truncation) for i in range(count))

    def picture(
        self, latent: Latent, size: tuple[int, int] | None = None, seamless: bool = False
    ) -> Pixels:
        """What the model makes of a latent that is made for this size: (H, W, 3)."""
        return self.pyramid(latent, size, seamless, finest=True)[0]

    def pyramid(
        self,
        latent: Latent,
        size: tuple[int, int] | None = None,
        seamless: bool = False,
        *,
        finest: bool = False,
    ) -> list[Pixels]:
        """Every level's picture, the finest first, each half the size of the one before.

        Raises:
            ImageError: the size cannot be seamless; says the next one that can.
            BackendError: memory for such a picture is not there, or ran out.
        """
        given, margin = latent, self.learnt.margin
        if seamless:
            self._check_seamless(size)
            margin = self._around
            given = self._wrapped(latent, *self._inner(size))
        self._check_room(*given["latent"].shape[:2])
        names = list(self._backend.graph.outputs)[: 1 if finest else None]
        made = self._backend.run({name: x[None] for name, x in given.items()}, names)
        height, width = self._size(size)
        pictures = []
        for number, name in enumerate(names):
            first, part = margin * self.place >> number, 2**number
            rows = slice(first, first + -(-height // part))
            columns = slice(first, first + -(-width // part))
            samples = made[name][0, rows, columns]
            pictures.append(np.rint(samples * np.float32(255)).astype(np.uint8))
        return pictures

    def close(self) -> None:
        """Give back what the backend holds."""
        self._backend.close()

    def __enter__(self) -> Generator:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @cached_property
    def _period(self) -> int:
        """Places after which the computation repeats: seamless pictures are multiples of it."""
        return alignment(self._backend.graph)

    @cached_property
    def _around(self) -> int:
        """Places around a seamless picture that decide its pixels, at least."""
        reach = radius(self._backend.graph)
        if reach is None:
            raise ImageError(
                "this model's pictures depend on all of their latent, so none is seamless"
            )
        return -(-reach // self._period) * self._period

    def _wrapped(self, latent: Latent, height: int, width: int) -> Latent:
        """The middle of a latent, of so many places, with itself all around."""
        wrapped = {}
        for name, x in latent.items():
            factor = self._factors[name]
            first, around = self.learnt.margin * factor, (self._around * factor,) * 2
            inner = x[first : first + height * factor, first : first + width * factor]
            wrapped[name] = np.pad(inner, (around, around, (0, 0)), "wrap")
        return wrapped

    @cached_property
    def _factors(self) -> dict[str, int]:
        """How many numbers a side a place has in each input."""
        values = self._backend.graph.values
        return {name: values[name].grid.factor for name in self._backend.graph.inputs}

    def _size(self, size: tuple[int, int] | None) -> tuple[int, int]:
        side = self.learnt.side
        if size is None:
            return side, side
        try:
            height, width = map(operator.index, size)
        except (TypeError, ValueError):
            raise ImageError(f"size is {size!r}; expected (height, width) in pixels") from None
        if not 1 <= min(height, width) <= max(height, width) <= MOST_SIDE:
            raise ImageError(
                f"a picture {_shown(height, width)}; expected sides of 1 to {MOST_SIDE}"
            )
        if not self.learnt.margin and (height, width) != (side, side):
            raise ImageError(
                f"a picture {_shown(height, width)}; this model makes {side} × {side} alone, whole "
                "pictures with things in their places"
            )
        return height, width

    def _inner(self, size: tuple[int, int] | None) -> tuple[int, int]:
        height, width = self._size(size)
        return -(-height // self.place), -(-width // self.place)

    def _places(self, size: tuple[int, int] | None) -> tuple[int, int]:
        height, width = self._inner(size)
        return height + 2 * self.learnt.margin, width + 2 * self.learnt.margin

    def _check_room(self, height: int, width: int) -> None:
        """Raise BackendError if there is no memory for so many places of a latent."""
        if height * width > self._backend.capacity:
            raise BackendError(
                f"a latent of {width} × {height}, for pictures {self.place} times as large, takes "
                "more memory than there is for it; choose a smaller size"
            )

    def _check_seamless(self, size: tuple[int, int] | None) -> None:
        height, width = self._size(size)
        step = self._period * self.place
        if not self.learnt.margin:
            raise ImageError("this model makes whole pictures, which have edges: none is seamless")
        if height % step or width % step:
            nearest = (max(1, round(side / step)) * step for side in (height, width))
            raise ImageError(
                f"a picture {_shown(height, width)} cannot be seamless; expected multiples of "
                f"{step}: {_shown(*nearest)}"
            )

    def _latent(self, seed: int, number: int, height: int, width: int, truncation: float) -> Latent:
        graph = self._backend.graph
        random = np.random.Generator(np.random.Philox(key=np.array([seed, number], np.uint64)))
        if codes := self.learnt.codes:
            shared = np.array(codes[int(random.integers(len(codes)))], np.float32)
        else:
            shared = random.standard_normal(self.learnt.shared, np.float32)
        drawn: Latent = {}
        for name in graph.inputs:
            factor, channels = self._factors[name], graph.inputs[name].channels
            x = np.empty((height * factor, width * factor, channels), np.float32)
            x[..., : len(shared)] = shared
            x[..., len(shared) :] = random.standard_normal(
                (*x.shape[:2], channels - len(shared)), np.float32
            )
            drawn[name] = x
        for x in drawn.values():
            x *= np.float32(truncation)
        return drawn


def between(start: Latent, end: Latent, steps: int) -> Iterator[Latent]:
    """`steps` latents from `start`, included, towards `end`, which is not.

    On the circle through both, so that each is as long as latents are (spherical interpolation).
    """
    for step in range(steps):
        angle = np.float32(np.pi / 2 * step / steps)
        # Two random latents are at right angles, near enough.
        yield {name: np.cos(angle) * start[name] + np.sin(angle) * end[name] for name in start}


def _shown(height: int, width: int) -> str:
    return f"{width} wide and {height} high"


def _learnt(backend: Backend, channels: int, place: int) -> Learnt:
    """What the metadata says. Raises WeightsError if it is not what a generator's file says."""
    text = backend.bundle.metadata.get("generation", "")
    try:
        said = json.loads(text)
        learnt = Learnt(**said)
        numbers = (learnt.shared, learnt.margin, learnt.side)
        right = (
            all(type(number) is int for number in numbers)
            and 0 <= learnt.shared <= channels
            and 0 <= learnt.margin <= MOST_SIDE
            and 1 <= learnt.side <= MOST_SIDE
            and learnt.side % place == 0
            and np.shape(learnt.codes) in ((0,), (len(learnt.codes), learnt.shared))
            and np.isfinite(np.array(learnt.codes, np.float32)).all()
        )
    except (ValueError, TypeError, RecursionError):
        right = False
    if not right:
        raise WeightsError(
            f"the model's metadata says {text[:80]!r} of how its pictures are generated; expected "
            "what `imagen-fast train` writes: shared, margin, side and codes"
        )
    return learnt
