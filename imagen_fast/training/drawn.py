"""Drawn pictures to train on: flat colours and fine neutral lines.

Photographs have neither, and a model that never saw them shifts a logo's colour and tints black
lines on white (`tasks.colors` measures both).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from PIL import Image, ImageDraw

from imagen_fast.image.degradation import Uint8

PICTURES = 48
SIDE = 128  # of a drawing, in pixels of the small picture
CELL = 32  # of a page of hatchings
STEPS = 2 * [(1, 0), (0, 1), (1, 1)] + [(1, 2), (2, 1)]  # across and down, to the next line
CORNERS = np.array(list(product((0, 128, 255), repeat=3)), np.uint8)


def drawings(scale: int, *, seed: int = 0) -> dict[str, Uint8]:
    """Pictures by name, each (SIDE · scale, SIDE · scale, 3) uint8; a seed gives the same ones.

    Half are shapes in flat colours, corners of the RGB cube and the middles between them above all.
    The others are pages of hatchings and grids of 1 to 8 pixels of the small picture, mostly black
    on white, and at most two levels off neutral.
    """
    rng = np.random.default_rng(seed)
    half = PICTURES // 2
    return {f"shapes-{n}": _shapes(scale, rng) for n in range(half)} | {
        f"lines-{n}": _lines(scale, rng) for n in range(half)
    }


def _color(rng: np.random.Generator) -> tuple[int, ...]:
    color = rng.integers(0, 256, 3) if rng.random() < 0.3 else rng.choice(CORNERS)
    return tuple(map(int, color))


def _shapes(scale: int, rng: np.random.Generator) -> Uint8:
    # Drawn twice as large and reduced, for smooth edges.
    image = Image.new("RGB", (2 * SIDE * scale,) * 2, _color(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        center = rng.uniform(0, image.width, 2)
        radius, turn = rng.uniform(8, 40) * scale, rng.uniform(0, 90)
        if rng.random() < 0.3:
            draw.ellipse([*(center - radius), *(center + radius)], fill=_color(rng))
        else:
            turn = turn if rng.random() < 0.5 else 0
            draw.regular_polygon((*center, radius), 4, turn, fill=_color(rng))
    return np.asarray(image.resize((SIDE * scale,) * 2, Image.Resampling.BOX))


def _lines(scale: int, rng: np.random.Generator) -> Uint8:
    page = np.empty((SIDE * scale, SIDE * scale, 3), np.uint8)
    cell = CELL * scale
    for top, left in product(range(0, len(page), cell), repeat=2):
        page[top : top + cell, left : left + cell] = _hatching(scale, rng)
    return page


def _hatching(scale: int, rng: np.random.Generator) -> Uint8:
    """One cell: bent lines with smooth edges, some too fine for the small picture, whose pixels are
    not to be taken for drawn ones; or lines in steps of these pixels.
    """
    if rng.random() < 0.5:
        x, y = (np.mgrid[: CELL * scale, : CELL * scale] + 0.5) / scale
        turn = rng.uniform(0, np.pi)
        distance, length = rng.uniform(1.2, 6), rng.uniform(3, 12)
        across, down = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
        bent = across + rng.uniform(0, 0.5) * length * np.sin(down / length)
        along = bent / distance + rng.random()
        sharp = distance * scale * rng.uniform(0.5, 1)
        ink = (sharp * (np.abs(along % 1 - 0.5) - rng.uniform(0.15, 0.35)) + 0.5).clip(0, 1)
    else:
        # The finest most of all: there a model easily makes another guess for each channel.
        x, y = np.mgrid[:CELL, :CELL]
        across, down = STEPS[rng.integers(len(STEPS))]
        distance = 1 + min(int(rng.geometric(0.5)), 5)
        width = int(rng.integers(1, distance))
        steps = (across * x + down * y + rng.integers(distance)) % distance < width
        ink = np.kron(steps, np.ones((scale, scale)))
    dark, light = rng.integers(0, 3, 3), rng.integers(253, 256, 3)
    if rng.random() < 0.3:
        dark, light = dark + rng.integers(0, 128), light - rng.integers(0, 100)
    page: Uint8 = np.rint(dark + ink[..., None] * (light.astype(float) - dark)).astype(np.uint8)
    return page
