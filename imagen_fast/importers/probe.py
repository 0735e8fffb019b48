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
MOST, FEW = 0.5, 0.1  # of a picture's numbers: some of a painting are lighter than white


def returns_the_picture(one: Bundle, other: Bundle) -> bool:
    """Whether the first gives a picture that is close, and the second one that is far away.

    Or one that is far away as well, as networks that paint do, but the second none at all. Where
    both are close the file says nothing: weights that hardly change a picture do so at any range of
    numbers.
    """
    picture = shaped(load(None), 1, SIDE, SIDE, 3).astype(np.float32) / 255
    large = _repeated(picture, one.graph.scale)
    first, second = _result(one, picture), _result(other, picture)
    near, far = (np.inf if y is None else _root(y - large) for y in (first, second))
    if near < CLOSE <= far and near < far / 2:
        return True
    return first is not None and second is not None and is_painted(first, second)


def is_painted(one: Picture, other: Picture) -> bool:
    """Whether the first lies between black and white, and the second, read otherwise, does not."""
    # What is no more than a level is 0 to 1, read as 0 to 255.
    inside, lost = np.mean((one > 2 / 255) & (one < 1)), np.mean((other > 0) & (other < 1))
    return bool(inside > MOST and lost < FEW)


def enlarges_well(bundle: Bundle) -> bool:
    """Whether a photograph made smaller comes out closer to it than with its pixels repeated."""
    scale = bundle.graph.scale
    side = SIDE // scale
    large = shaped(load(None), 1, scale * side, scale * side, 3).astype(np.float32) / 255
    small = large.reshape(1, side, scale, side, scale, 3).mean((2, 4))
    found = _result(bundle, small)
    return found is not None and _root(found - large) < _root(_repeated(small, scale) - large)


def _repeated(picture: Picture, scale: int) -> Picture:
    return picture.repeat(scale, axis=1).repeat(scale, axis=2)


def _root(x: Picture) -> float:
    return float(np.sqrt(np.square(x).mean()))


def _result(bundle: Bundle, picture: Picture) -> Picture | None:
    """Of a picture; None where nothing here can run it."""
    for name in ("native", "eager"):
        kind = backends.backend_class(name)
        if kind.missing():
            continue
        try:
            backend = kind(bundle, precision="fp32")
        except ImagenError:
            continue  # it lacks an operation
        try:
            return backend.run(picture)
        except ImagenError:
            return None
        finally:
            backend.close()
    return None
