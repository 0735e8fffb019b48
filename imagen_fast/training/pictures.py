"""The pictures of a run: what it trains on, and what is held out to validate it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from imagen_fast.errors import TrainingError
from imagen_fast.image.degradation import Degradation, degrade
from imagen_fast.image.strokes import in_bytes, strokes
from imagen_fast.training.config import Config
from imagen_fast.training.data import Pair, load_pairs, unmatched
from imagen_fast.training.drawn import drawings
from imagen_fast.training.pixel_graphics import pixel_graphics

DRAWS = 4  # degradations of each validation picture
MOST_HELD_OUT = 16  # pictures of one folder, and of each a square of so many small pixels
HELD_OUT_SIDE = 128


@dataclass(frozen=True)
class Folder:
    """Pictures by name that share a weight: see `config.Source`."""

    name: str
    weight: float
    pairs: dict[str, Pair]


@dataclass(frozen=True)
class Pictures:
    """What is trained on; and held-out pictures, already degraded."""

    train: list[Folder]
    held_out: list[Pair]


def read_pictures(config: Config, say: Callable[[str], object], validate: bool = True) -> Pictures:
    """What the configuration says.

    Raises:
        TrainingError, ImageError: see `load_pairs`.
    """
    data, scale, reduced = config.data, config.model.scale, 0
    if config.generation:
        scale, reduced = 1, config.generation.side
    if config.style:
        reduced = config.style.photographs
    folders = list(dict.fromkeys(source.folder for source in data.train))
    say(f"reading the pictures in {', '.join(map(str, folders))}")
    for name in unmatched(data.exclude, folders):
        say(f"warning: no picture is called {name!r}, which data.exclude names")
    train = [
        Folder(
            source.folder.name,
            source.weight,
            load_pairs(
                source.folder,
                scale,
                data.exclude,
                side=data.patch,
                reduced=reduced or source.reduced,
            ),
        )
        for source in data.train
    ]
    if config.style:
        train = [replace(folder, pairs=_with_strokes(folder.pairs)) for folder in train]
    if data.drawn:
        pairs = {name: degrade(picture, scale) for name, picture in drawings(scale).items()}
        pairs |= pixel_graphics(scale)
        train.append(Folder("drawn", data.drawn, pairs))
    held_out: list[Pair] = []
    if validate and data.validation:
        held_out = list(load_pairs(data.validation, scale, reduced=reduced).values())
    return Pictures(train, _degraded(held_out, config.degradation))


def tenth_held_out(config: Config, say: Callable[[str], object]) -> Pictures:
    """One folder in two: of every ten pictures one is held out, at least one and not many.

    Raises:
        TrainingError: it has but one picture that is large enough.
        ImageError: a picture cannot be read.
    """
    [folder] = read_pictures(config, say, validate=False).train
    train = folder.pairs
    if len(train) < 2:
        raise TrainingError(
            f"{config.data.train[0].folder} holds one picture to use; expected two or more, one of "
            "which is held out to see what is gained"
        )
    names = list(train)[:: max(10, -(-len(train) // MOST_HELD_OUT))]
    held_out = [_middle(*train.pop(name)) for name in names]
    say(f"held out of {len(train) + len(names)} pictures: {', '.join(names)}")
    return Pictures([folder], _degraded(held_out, config.degradation))


def _degraded(pairs: list[Pair], degradation: Degradation | None) -> list[Pair]:
    """Each pair in a few ways, the same in every run."""
    if degradation is None:
        return pairs
    return [
        degradation(*pair, np.random.default_rng([index, draw]))
        for index, pair in enumerate(pairs)
        for draw in range(DRAWS)
    ]


def _with_strokes(pairs: dict[str, Pair]) -> dict[str, Pair]:
    """Each picture beside its strokes, as uint8 (see `in_bytes`)."""
    return {name: (in_bytes(strokes(picture)), picture) for name, (_, picture) in pairs.items()}


def _middle(low: np.ndarray, high: np.ndarray) -> Pair:
    scale = high.shape[0] // low.shape[0]
    top, left = (max(0, (side - HELD_OUT_SIDE) // 2) for side in low.shape[:2])
    rows, columns = slice(top, top + HELD_OUT_SIDE), slice(left, left + HELD_OUT_SIDE)
    large = [slice(part.start * scale, part.stop * scale) for part in (rows, columns)]
    return low[rows, columns], high[large[0], large[1]]
