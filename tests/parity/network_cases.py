"""Whole networks: specs, inputs and outputs, and shapes, each with its reason as its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from random_bundles import TWO_LEVELS, random_bundle
from random_graphs import inputs_for, weights_for

from imagen_fast.bundle import Bundle
from imagen_fast.graph import network
from imagen_fast.graph.passes import needed
from imagen_fast.spec import Level, ModelSpec, preset

Shape = tuple[int, int, int]


class Case(NamedTuple):
    """A spec's graph on inputs of (N, H, W), or a latent's; `wanted` () is the first output.

    context: features of another picture, or of the frame before, are given too. exported: other
    runtimes run it as well.
    """

    spec: ModelSpec
    shape: Shape
    wanted: tuple[str, ...] = ()
    context: bool = False
    exported: bool = True


MIXED = ModelSpec(
    scale=2,
    levels=(
        Level(20, depth=2, convs=1),  # no multiple of any vector
        Level(30, attention="global"),
        Level(10, convs=0),
    ),
    head_dim=5,
    window=6,
    latent_channels=3,
)
TINY = replace(TWO_LEVELS, scale=3, latent_channels=8)
GLOBAL = ModelSpec(scale=2, levels=(Level(32, convs=1), Level(64, convs=1, attention="global")))
WIDE = ModelSpec(scale=1, levels=(Level(96, convs=1),), head_dim=96, window=10)
GREY = ModelSpec(scale=3, image_channels=1, levels=(Level(16, depth=3, convs=0),), head_dim=8)
PLAIN = ModelSpec("plain", 4, (Level(32, depth=4, convs=2),), attention_every=2)
STYLE = ModelSpec(
    "style",
    1,
    (Level(8, convs=0), Level(20, depth=2, convs=1), Level(24, attention="global")),
    head_dim=12,
)
TEMPORAL = ModelSpec("temporal", 2, (Level(32, convs=1), Level(40, convs=1)), head_dim=8)
LISTING = preset("listing", 1)
ODD = replace(LISTING, levels=(Level(37, 1, convs=0, attention="global"),), head_dim=37)


def two_levels(scale: int) -> ModelSpec:
    return replace(TWO_LEVELS, scale=scale)


def names(what: str, start: int = 1) -> tuple[str, ...]:
    """Of all three levels."""
    return ((what,) if start else ()) + tuple(f"{what}.{i}" for i in range(start, 3))


CASES = {
    "x4": Case(two_levels(4), (1, 16, 16)),
    "x3, batch": Case(two_levels(3), (3, 13, 8)),
    "x2, smaller than a window": Case(two_levels(2), (1, 8, 5), exported=False),
    "x1, odd sides": Case(two_levels(1), (1, 9, 31)),
    "one pixel": Case(two_levels(4), (2, 1, 1)),
    "one row": Case(two_levels(2), (1, 1, 50), exported=False),
    "one column": Case(two_levels(2), (1, 50, 1), exported=False),
    "more than one block of pixels in a row": Case(two_levels(2), (1, 3, 103), exported=False),
    "small": Case(preset("small", 4), (1, 20, 12), exported=False),
    "base": Case(preset("base", 4), (1, 10, 12), exported=False),
    "odd channels, heads and windows": Case(MIXED, (2, 19, 21)),
    "global, tokens fill no vector": Case(GLOBAL, (2, 25, 27)),
    "global, several blocks of tokens": Case(GLOBAL, (1, 40, 38), exported=False),
    "head wider than a register tile": Case(WIDE, (1, 21, 12)),
    "grey, more blocks": Case(GREY, (3, 5, 33)),
    "the preset tiny": Case(preset("tiny", 4), (1, 9, 14)),
    "one resolution": Case(PLAIN, (1, 17, 22)),
    "features": Case(MIXED, (2, 13, 18), names("features", 0)),
    "every level": Case(MIXED, (2, 13, 18), names("picture")),
    "another picture's features": Case(MIXED, (2, 13, 18), names("picture"), context=True),
    "a latent": Case(MIXED, (1, 3, 4), names("sample")),
    "maps and picture": Case(MIXED, (1, 13, 18), ("attention.1", "picture")),
    "tiny, features": Case(TINY, (2, 13, 18), ("features.0", "features.1")),
    "tiny, every level": Case(TINY, (2, 13, 18), ("picture", "picture.1")),
    "tiny, context": Case(TINY, (2, 13, 18), ("picture", "picture.1"), context=True),
    "tiny, a latent": Case(TINY, (1, 6, 8), ("sample", "sample.1")),
    "a picture and tokens": Case(STYLE, (2, 17, 22)),
    "a style's tokens": Case(STYLE, (1, 17, 22), ("tokens",)),
    "two pictures": Case(STYLE, (1, 19, 8), ("stylized",)),
    "a video's first frame": Case(TEMPORAL, (2, 13, 18), ("picture", "previous")),
    "a frame and the one before": Case(TEMPORAL, (2, 13, 18), ("picture", "previous"), True),
    "listing": Case(LISTING, (2, 1, 30)),
    "listing, fills no vector, one row": Case(ODD, (1, 1, 1)),
    "listing, more rows than a block": Case(ODD, (2, 1, 333), exported=False),
}


def made(name: str) -> tuple[Bundle, dict[str, Any], tuple[str, ...]]:
    """A case's network with random weights, its inputs, and names of the outputs."""
    case, rng = CASES[name], np.random.default_rng(1)
    if case.spec.architecture in ("hierarchical", "temporal"):
        bundle = random_bundle(case.spec)
    else:  # not much stronger, or each softmax of the listing picks one row
        weights = weights_for(network(case.spec), np.random.default_rng(0))
        bundle = Bundle(case.spec, {name: np.float32(0.85) * x for name, x in weights.items()})
    wanted = case.wanted or (next(iter(bundle.graph.outputs)),)
    prefix = "previous" if case.spec.architecture == "temporal" else "context."
    arrays = inputs_for(bundle.graph, *case.shape, rng)
    if "latent" in arrays:
        arrays["latent"] = 4 * np.abs(arrays["latent"])
    read = needed(bundle.graph, wanted).inputs
    given = {n: arrays[n] for n, x in read.items() if not x.optional}
    given |= {n: x for n, x in arrays.items() if case.context and n.startswith(prefix)}
    return bundle, given, wanted
