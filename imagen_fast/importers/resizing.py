"""Enlarging and reducing pictures by whole factors, as other formats name it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.importers.assembly import Array, Assembly

CUBIC = -0.75  # the coefficient that torch, ONNX and ncnn take
ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda place: math.ceil(place - Fraction(1, 2)),
    "round_prefer_ceil": lambda place: math.floor(place + Fraction(1, 2)),
}


@dataclass(frozen=True)
class Drawing:
    """How a pixel is drawn from those around the point where it lies.

    Attributes:
        mode: "nearest", "linear" or "cubic".
        corner: pixel i lies at i / factor. Otherwise pixels are squares, and the middles of the
            pictures coincide: it lies at (i + 1/2) / factor - 1/2.
        rounding: of a point to the nearest pixel, one of ROUNDINGS.
        cubic: the coefficient.
    """

    mode: str
    corner: bool = False
    rounding: str = "round_prefer_floor"
    cubic: float = CUBIC

    def place(self, i: int, factor: Fraction) -> Fraction:
        """Where pixel i lies."""
        half = Fraction(0 if self.corner else 1, 2)
        return (i + half) / factor - half

    def nearest(self, place: Fraction) -> int:
        """The pixel nearest to a point."""
        return ROUNDINGS[self.rounding](place)

    def taps(self, place: Fraction) -> tuple[int, Array]:
        """The first of four pixels around a point, and their weights."""
        start = math.floor(place)
        part = place - start
        if self.mode == "nearest":
            part = Fraction(self.nearest(place) - start)
        if self.mode == "cubic":
            return start - 1, _cubic(part, self.cubic)
        return start - 1, np.array([0, 1 - part, part, 0], float)


def resize(a: Assembly, x: str, factor: float, how: Drawing) -> str:
    """A picture of `factor` times the size.

    Args:
        factor: a whole number from 1 on, or one over 2, 4 or 8.

    Raises:
        OperationError: another factor.
    """
    if factor == 1:
        return x
    part = Fraction(factor).limit_denominator(8)
    whole = how.mode == "nearest" or how.corner  # numbers of pixels alone are possible
    if not whole and part.numerator > 1 and part.denominator in (2, 4, 8) and part == factor:
        return _rational(a, x, part, how)
    if factor < 1:
        return _halved(a, x, factor, how)
    times = round(factor)
    if times != factor or times > 16:
        raise OperationError(f"it enlarges {factor:g} times; expected a whole number up to 16")
    if how.mode == "linear" and not how.corner:
        return a.add("bilinear", x, factor=times)
    phases = np.zeros((times, 5))  # of the five pixels around each
    for i in range(times):
        start, taps = how.taps(how.place(i, Fraction(times)))
        phases[i, start + 2 : start + 6] = taps
    if (phases == [0, 0, 1, 0, 0]).all():
        return a.add("nearest", x, factor=times)
    return _filtered(a, x, phases)


def _halved(a: Assembly, x: str, factor: float, how: Drawing) -> str:
    steps = round(math.log2(1 / factor))
    if 0.5**steps != factor:
        raise OperationError(f"it enlarges {factor:g} times; expected 1/2, 1/4 or 1/8 below 1")
    channels = a.channels(x)
    if how.mode == "nearest" or how.corner:
        place = how.nearest(how.place(0, Fraction(factor)))
        for _ in range(steps):
            place, odd = divmod(place, 2)
            weight = np.zeros((channels, 1, 1 + odd, 1 + odd))
            weight[..., odd, odd] = 1
            x = a.convolution(x, weight, stride=2, groups=channels)
        return x
    if steps > 1:
        raise OperationError(f"it reduces by {factor:g} in mode {how.mode}; expected 1/2")
    if how.mode == "linear":
        return a.average(x, 2, 2)
    _, taps = how.taps(Fraction(1, 2))
    weight = np.broadcast_to(np.outer(taps, taps), (channels, 1, 4, 4))
    return a.add(
        "convolution",
        x,
        tensors={"weight": weight},
        channels=channels,
        kernel=4,
        stride=2,
        padding="edge",
        depthwise=True,
    )


def _rational(a: Assembly, x: str, factor: Fraction, how: Drawing) -> str:
    """p/q of the size: of each q pixels along an axis, and their neighbours, p are computed."""
    more, of = factor.numerator, factor.denominator
    phases = np.zeros((more, 3 * of))  # of the q pixels before, these, and those after
    for i in range(more):
        start, taps = how.taps(how.place(i, factor))
        phases[i, of + start : of + start + 4] = taps
    channels = a.channels(x)
    # (C, p, p) of (C, q, q) and three of these down and across
    blocks = phases.reshape(more, 3, of)
    one = np.einsum("pim,qjn->pqmnij", blocks, blocks)
    weight = np.einsum("ab,pqmnij->apqbmnij", np.eye(channels), one)
    x = a.add("pixel_unshuffle", a.pad(x, of, "edge"), factor=of)
    x = a.convolution(x, weight.reshape(channels * more**2, channels * of**2, 3, 3))
    return a.add("pixel_shuffle", x, factor=more)


def _cubic(part: Fraction, a: float) -> Array:
    """Weights of four pixels for a point between the second and the third (Keys 1981)."""

    def weight(t: float) -> float:
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a

    t = float(part)
    return np.array([weight(1 + t), weight(t), weight(1 - t), weight(2 - t)])


def _filtered(a: Assembly, x: str, phases: Array) -> str:
    """Enlarged by a filter for each phase, along both axes; the border's pixels repeated."""
    factor = len(phases)
    kernel = np.einsum("yi,xj->yxij", phases, phases).reshape(factor**2, 1, 5, 5)
    how = {"channels": factor**2, "kernel": 5, "padding": "edge"}
    parts = [
        a.add("convolution", a.cut(x, channel, 1), tensors={"weight": kernel}, **how)
        for channel in range(a.channels(x))
    ]
    return a.add("pixel_shuffle", a.concatenate(parts), factor=factor)
