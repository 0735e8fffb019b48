"""The photograph that exports are verified on, cut or continued to any shape."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.image.read import read

# A detail, 128 × 96, of examples/photographs/osprey.png, which is in the public domain (CC0).
OWN = "photograph.png"
OWN_TITLE = "the photograph that comes with the package"


def load(path: Path | None) -> NDArray[np.uint8]:
    """(H, W, 3) of a picture's file, or of the photograph that comes with the package.

    Raises:
        ImageError: it cannot be read.
    """
    if path is None:
        with as_file(files(__package__) / OWN) as own:
            return load(own)
    color = read(path).color
    if color.dtype == np.uint16:
        color = (color >> 8).astype(np.uint8)
    return color if color.shape[2] == 3 else np.repeat(color, 3, axis=2)


def shaped(
    photograph: NDArray[np.uint8], batch: int, height: int, width: int, channels: int
) -> NDArray[Any]:
    """(batch, height, width, channels) uint8: its middle, or continued by mirrors.

    Every picture of the batch differs, so that one which takes another's place is noticed.
    """
    for axis, wanted in enumerate((height, width)):
        side = photograph.shape[axis]
        places = (np.arange(wanted) + max(0, side - wanted) // 2) % (2 * side)
        photograph = photograph.take(np.where(places < side, places, 2 * side - 1 - places), axis)
    photograph = photograph[..., np.arange(channels) % 3]
    turned = (np.roll(photograph[:, :: 1 - 2 * (i % 2)], 7 * i, axis=0) for i in range(batch))
    return np.stack(list(turned))
