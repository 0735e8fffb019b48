"""Which reading of a network gives a photograph back, larger: seen by running them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast import backends
from imagen_fast.bundle import Bundle
from imagen_fast.errors import ImagenError
from imagen_fast.export.photograph import load, shaped

Picture = NDArray[Any]  # (1, H, W, 3), from 0 to 1

SIDE = 64
CLOSE = 0.1  # root of the mean square, of white: what enlarges or restores is closer


def returns_the_picture(one: Bundle, other: Bundle) -> bool:
    """Whether the first gives a picture that is close, and the second one that is far away.

    Where both are close the file says nothing: weights that hardly change a picture do so at any
    range of numbers.
    """
    picture = shaped(load(None), 1, SIDE, SIDE, 3).astype(np.float32) / 255
    large = _repeated(picture, one.graph.scale)
    near, far = (_distance(bundle, picture, large) for bundle in (one, other))
    return near < CLOSE <= far and near < far / 2


def enlarges_well(bundle: Bundle) -> bool:
    """Whether a photograph made smaller comes out closer to it than with its pixels repeated."""
    scale = bundle.graph.scale
    side = SIDE // scale
    large = shaped(load(None), 1, scale * side, scale * side, 3).astype(np.float32) / 255
    small = large.reshape(1, side, scale, side, scale, 3).mean((2, 4))
    return _distance(bundle, small, large) < _root(_repeated(small, scale) - large)


def _repeated(picture: Picture, scale: int) -> Picture:
    return picture.repeat(scale, axis=1).repeat(scale, axis=2)


def _root(x: Picture) -> float:
    return float(np.sqrt(np.square(x).mean()))


def _distance(bundle: Bundle, picture: Picture, large: Picture) -> float:
    """From what is expected of a picture; infinite where nothing here can run it."""
    for name in ("native", "eager"):
        kind = backends.backend_class(name)
        if kind.missing():
            continue
        try:
            backend = kind(bundle, precision="fp32")
        except ImagenError:
            continue  # it lacks an operation
        try:
            return _root(backend.run(picture) - large)
        except ImagenError:
            return np.inf
        finally:
            backend.close()
    return np.inf
