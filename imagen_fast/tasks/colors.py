"""How true a model is to colours that have one right answer: flat ones and neutral hatching.

Photographs hardly show such faults, and PSNR is measured on Y. So pictures are drawn: a flat colour
stays that colour however much it is enlarged, and black lines on white have no colour at all. The
hatching is a level off neutral, as JPEG leaves it. Where neighbours differ as much as pixels can,
as in dithering, icons and bitmap text, a model that has seen photographs alone may lose itself:
what comes out, reduced again, should be near what went in. What an engine mends
(`image.color_bounds`, `image.neutral`, `image.flat`) is mended here as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from imagen_fast.engine import Engine

SIDE = 32  # pixels; a model's borders and what is far from them both show
# Corners of the RGB cube, the middles between them, and grey.
FLAT = tuple(product((0, 128, 255), repeat=3))
# Lines by x and y steps, distance and width: upright, level, slanted; from 1 pixel on.
HATCHINGS = (
    (1, 0, 2, 1),
    (0, 1, 2, 1),
    (1, 1, 2, 1),  # a chessboard
    (1, 0, 3, 1),
    (1, 1, 3, 1),
    (1, 0, 4, 2),
    (0, 1, 4, 2),
    (1, 1, 4, 2),
    (1, 2, 5, 2),
)
INKS = (
    ("#000000", "#ffffff"),
    ("#c0c0c0", "#000080"),
    ("#ffff00", "#0000ff"),
    ("#00ff00", "#ff0000"),
)


@dataclass(frozen=True)
class Deviation:
    """How far samples are off, in levels of 255.

    Attributes:
        worst: of all samples of all pictures.
        mean: of the worst sample of each picture.
        where: the picture that has the worst.
    """

    worst: float
    mean: float
    where: str


@dataclass(frozen=True)
class Colors:
    """Deviations of a model: of flat colours from themselves, of hatching from neutral, and of
    pixel graphics, enlarged and reduced again, from what they were (of each the mean)."""

    flat: Deviation
    hatching: Deviation
    pixels: Deviation


def measure(engine: Engine) -> Colors:
    """Measure a model of any scale on pictures of SIDE × SIDE."""
    flat = np.array(FLAT, np.uint8)[:, None, None]  # (27, 1, 1, 3)
    enlarged = engine.run(np.tile(flat, (1, SIDE, SIDE, 1)))
    off = np.abs(enlarged.astype(np.int16) - flat).max(axis=(1, 2, 3))
    lines = engine.run(np.stack([hatching(*lines) for lines in HATCHINGS]))
    tint = (np.ptp(lines.astype(np.int16), axis=3).max(axis=(1, 2)) - 1).clip(0)
    graphics = pixel_graphics()
    given = np.stack(list(graphics.values()))
    apart = np.abs(_reduced(engine.run(given)) - given).mean((1, 2, 3))
    return Colors(
        _deviation(off, ["#{:02x}{:02x}{:02x}".format(*color) for color in FLAT]),
        _deviation(tint, ["{}:{} every {}, {} wide".format(*lines) for lines in HATCHINGS]),
        _deviation(apart, list(graphics)),
    )


def pixel_graphics() -> dict[str, NDArray[np.uint8]]:
    """Pictures (SIDE, SIDE, 3) by name: every hatching in pairs of colours, and noise of these."""
    found = {}
    for dark, light in INKS:
        inks = np.array([ImageColor.getrgb(dark), ImageColor.getrgb(light)], np.uint8)
        for lines in HATCHINGS:
            name = "{}:{} every {}, {} wide, {} and {}".format(*lines, dark, light)
            found[name] = inks[(hatching(*lines)[..., 0] > 0).astype(int)]
        noise = np.random.default_rng(0).integers(0, 2, (SIDE, SIDE))
        found[f"noise of {dark} and {light}"] = inks[noise]
    return found


def _reduced(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, s·SIDE, s·SIDE, 3) → (N, SIDE, SIDE, 3): means of squares."""
    scale = pictures.shape[1] // SIDE
    squares = pictures.reshape(-1, SIDE, scale, SIDE, scale, 3)
    means: NDArray[np.float32] = squares.mean((2, 4), dtype=np.float32)
    return means


def hatching(across: int, down: int, distance: int, width: int) -> NDArray[np.uint8]:
    """White lines on black, (SIDE, SIDE, 3): where (across·x + down·y) mod distance < width.

    Blue is 1 in black and 254 in white.
    """
    y, x = np.mgrid[:SIDE, :SIDE]
    lines = (across * x + down * y) % distance < width
    return np.where(lines[..., None], (255, 255, 254), (0, 0, 1)).astype(np.uint8)


def _deviation(worst: NDArray[Any], names: list[str]) -> Deviation:
    return Deviation(float(worst.max()), float(worst.mean()), names[int(worst.argmax())])
