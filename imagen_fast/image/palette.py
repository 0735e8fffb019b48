"""A picture's colours moved to where another's are."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from imagen_fast.image.picture import eight_bits
from imagen_fast.samples import Samples

Palette: TypeAlias = NDArray[np.float32]  # (COLORS, 3) in [0, 1]
Table: TypeAlias = NDArray[np.float32]  # (NODES, NODES, NODES, 3), by red, green and blue

SIDE = 32  # places in each direction that are looked at
COLORS = SIDE * SIDE
NODES = 9
WIDTH = 0.06  # how far around itself a colour moves others
STEPS = 16


def palette_of(color: Samples) -> Palette:
    """The colours of a picture (H, W, 3), uint8 or uint16, at places spread evenly over it."""
    reduced = Image.fromarray(eight_bits(color)).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BOX)
    found: Palette = np.asarray(reduced)[2::4, 2::4].reshape(-1, 3) / np.float32(255)
    return found


def table_of(before: Palette, after: Palette) -> Table:
    """Where each colour goes, so that the first palette becomes nearly the second.

    Along one random direction after the other the colours of the first are moved to those of the
    second in their order (sliced optimal transport: Pitié et al. 2007, Automated colour grading
    using colour distribution transfer). The moves are averaged around the nodes of a table, so
    that similar colours stay similar.
    """
    random = np.random.default_rng(0)
    moved = before.astype(np.float64)
    for _ in range(STEPS):
        axes, _ = np.linalg.qr(random.normal(size=(3, 3)))
        along, wanted = moved @ axes, np.sort(after @ axes, axis=0)
        np.put_along_axis(along, np.argsort(along, axis=0, kind="stable"), wanted, axis=0)
        moved = along @ axes.T
    steps = np.linspace(0, 1, NODES, dtype=np.float32)
    nodes = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    far = (nodes**2).sum(1)[:, None] - 2 * nodes @ before.T + (before**2).sum(1)
    near = np.exp((far.min(1, keepdims=True) - far) / (2 * WIDTH**2))
    move = near @ (moved - before) / near.sum(1, keepdims=True)
    table: Table = (nodes + move).clip(0, 1).astype(np.float32)
    return table.reshape(NODES, NODES, NODES, 3)


def recolored(color: Samples, table: Table) -> Samples:
    """A picture (H, W, 3), uint8 or uint16, with its colours moved as the nodes around them are.

    Those of 16 bits move as if they were rounded to 8.
    """
    small = eight_bits(color)
    entries = table.transpose(2, 1, 0, 3).ravel()  # red changes fastest
    there = Image.fromarray(small).filter(ImageFilter.Color3DLUT(NODES, entries.tolist()))
    move = np.asarray(there).astype(np.int16) - small
    if color.dtype == np.uint8:
        return np.asarray(there)
    moved: Samples = (color + np.int32(257) * move).clip(0, 65535).astype(np.uint16)
    return moved
