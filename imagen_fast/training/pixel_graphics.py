"""Pictures whose every pixel was set by hand, to train on: dithering, icons, bitmap text, noise.

In photographs no pixel differs from the next as much as these do. A model that never saw any makes
what it likes of them: features grow from layer to layer, and out come dots in all colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from imagen_fast.image.degradation import Uint8, rounded
from imagen_fast.image.resample import resize
from imagen_fast.training.drawn import CORNERS, SIDE, STEPS

PICTURES = 24
CELL = 32  # pixels of a square in which everything is of one kind
MOST_COLORS = 16  # of what somebody chose the pixels' colours for
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;!?()[]"


def pixel_graphics(scale: int, *, seed: int = 0) -> dict[str, tuple[Uint8, Uint8]]:
    """Pairs by name: (SIDE, SIDE, 3) uint8, and the same enlarged. A seed gives the same ones.

    What has few colours is enlarged with a square for every pixel, noise of all colours smoothly:
    stripes of a photograph that are too fine for its pixels look like it, and squares of these
    would be seen.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for number in range(PICTURES):
        cells = [KINDS[rng.integers(len(KINDS))](rng) for _ in range((SIDE // CELL) ** 2)]
        page = _page(cells)
        large = page if scale == 1 else _page([_enlarged(cell, scale) for cell in cells])
        found[f"pixels-{number}"] = page, large
    return found


def _page(cells: list[Uint8]) -> Uint8:
    """Squares (S, S, 3), row by row, as one."""
    side = SIDE // CELL
    rows = [np.concatenate(cells[side * row :][:side], 1) for row in range(side)]
    return np.concatenate(rows)


def _enlarged(cell: Uint8, scale: int) -> Uint8:
    if len(np.unique(cell.reshape(-1, 3), axis=0)) > MOST_COLORS:
        return rounded(resize(cell, CELL * scale, CELL * scale))
    return cell.repeat(scale, 0).repeat(scale, 1)


def _colors(rng: np.random.Generator, count: int) -> Uint8:
    """Corners of the RGB cube and middles between them; half the time without colour."""
    colors = CORNERS[rng.integers(0, len(CORNERS), count)]
    if rng.random() < 0.5:
        colors = rng.choice([0, 128, 192, 255], count)[:, None].repeat(3, 1).astype(np.uint8)
    if count == 2 and (colors[0] == colors[1]).all():
        colors[1] = 255 - colors[0]
    return colors


def _two(rng: np.random.Generator, where: NDArray[np.bool_]) -> Uint8:
    dark, light = _colors(rng, 2)
    return np.where(where[..., None], light, dark)


def _noise(rng: np.random.Generator) -> Uint8:
    channels = rng.choice([1, 3])
    noise = rng.integers(0, 256, (CELL, CELL, channels), dtype=np.uint8)
    if rng.random() < 0.5:
        noise = np.where(noise < 128, 0, 255).astype(np.uint8)
    return np.broadcast_to(noise, (CELL, CELL, 3))


def _scattered(rng: np.random.Generator) -> Uint8:
    colors = _colors(rng, 4)
    shares = rng.dirichlet([0.5] * 4)
    return colors[rng.choice(4, (CELL, CELL), p=shares)]


def _dithered(rng: np.random.Generator) -> Uint8:
    y, x = np.mgrid[:CELL, :CELL] / CELL
    turn = rng.uniform(0, 2 * np.pi)
    ramp = 0.5 + rng.uniform(0, 1) * (np.cos(turn) * (x - 0.5) + np.sin(turn) * (y - 0.5))
    return _two(rng, ramp > np.tile(BAYER, (CELL // 4, CELL // 4)))


def _stripes(rng: np.random.Generator) -> Uint8:
    y, x = np.mgrid[:CELL, :CELL]
    across, down = STEPS[rng.integers(len(STEPS))]
    period = int(rng.integers(2, 6))
    return _two(rng, (across * x + down * y) % period < rng.integers(1, period))


def _icons(rng: np.random.Generator) -> Uint8:
    side = int(rng.choice([8, 16]))
    cell = np.empty((CELL, CELL, 3), np.uint8)
    for top in range(0, CELL, side):
        for left in range(0, CELL, side):
            half = rng.choice(3, (side, side // 2), p=[0.5, 0.25, 0.25])
            icon = np.concatenate([half, half[:, ::-1]], 1)
            cell[top : top + side, left : left + side] = _colors(rng, 3)[icon]
    return cell


def _text(rng: np.random.Generator) -> Uint8:
    image = Image.new("1", (CELL, CELL))
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"  # no grey at edges
    for line in range(3):
        text = "".join(rng.choice(list(LETTERS), 8))
        draw.text(
            (int(rng.integers(-4, 1)), 11 * line), text, fill=1, font=ImageFont.load_default(10)
        )
    return _two(rng, np.asarray(image))


KINDS = (_noise, _scattered, _dithered, _stripes, _icons, _text)
