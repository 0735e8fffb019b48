"""Enlarging and reducing pictures by whole factors, as other formats name it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.importers.assembly import Array, Assembly

CUBIC = -0.75  # the coefficient that torch, ONNX and ncnn take


def resize(a: Assembly, x: str, factor: float, mode: str, cubic: float = CUBIC) -> str:
    """A picture of `factor` times the size, pixels taken for squares (half-pixel centres).

    Args:
        factor: a whole number from 1 on, or one over 2, 4 or 8.
        mode: "nearest", "linear" or "cubic".

    Raises:
        OperationError: another factor.
    """
    if factor == 1:
        return x
    part = Fraction(factor).limit_denominator(8)
    if (
        mode != "nearest"
        and part.numerator > 1
        and part.denominator in (2, 4, 8)
        and part == factor
    ):
        return _rational(a, x, part, mode, cubic)
    if factor < 1:
        return _halved(a, x, factor, mode, cubic)
    whole = round(factor)
    if whole != factor or whole > 16:
        raise OperationError(f"it enlarges {factor:g} times; expected a whole number up to 16")
    if mode == "nearest":
        return a.add("nearest", x, factor=whole)
    if mode == "linear":
        return a.add("bilinear", x, factor=whole)
    return _filtered(a, x, [_taps(Fraction(2 * i + 1, 2 * whole), cubic) for i in range(whole)])


def _halved(a: Assembly, x: str, factor: float, mode: str, cubic: float) -> str:
    steps = round(math.log2(1 / factor))
    if 0.5**steps != factor:
        raise OperationError(f"it enlarges {factor:g} times; expected 1/2, 1/4 or 1/8 below 1")
    channels = a.channels(x)
    if mode == "nearest":
        for _ in range(steps):
            weight = np.ones((channels, 1, 1, 1))
            x = a.convolution(x, weight, stride=2, groups=channels)
        return x
    if steps > 1:
        raise OperationError(f"it reduces by {factor:g} in mode {mode}; expected 1/2")
    if mode == "linear":
        return a.average(x, 2, 2)
    taps = _cubic(Fraction(1, 2), cubic)
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


def _rational(a: Assembly, x: str, factor: Fraction, mode: str, cubic: float) -> str:
    """p/q of the size: of each q pixels along an axis, and their neighbours, p are computed."""
    more, of = factor.numerator, factor.denominator
    phases = np.zeros((more, 3 * of))  # of the q pixels before, these, and those after
    for i in range(more):
        place = Fraction(2 * i + 1, 2) / factor - Fraction(1, 2)
        start = math.floor(place)
        part = place - start
        taps = _cubic(part, cubic) if mode == "cubic" else np.array([0, 1 - part, part, 0], float)
        phases[i, of + start - 1 : of + start + 3] = taps
    channels = a.channels(x)
    # (C, p, p) of (C, q, q) and three of these down and across
    blocks = phases.reshape(more, 3, of)
    one = np.einsum("pim,qjn->pqmnij", blocks, blocks)
    weight = np.einsum("ab,pqmnij->apqbmnij", np.eye(channels), one)
    x = a.add("pixel_unshuffle", a.pad(x, of, "edge"), factor=of)
    x = a.convolution(x, weight.reshape(channels * more**2, channels * of**2, 3, 3))
    return a.add("pixel_shuffle", x, factor=more)


def _taps(place: Fraction, cubic: float) -> Array:
    """Weights of the five pixels around the one in which a point lies, at `place` within it."""
    offset = place - Fraction(1, 2)
    start = math.floor(offset)
    taps = np.zeros(5)
    taps[start + 1 : start + 5] = _cubic(offset - start, cubic)
    return taps


def _cubic(part: Fraction, a: float) -> Array:
    """Weights of four pixels for a point between the second and the third (Keys 1981)."""

    def weight(t: float) -> float:
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a

    t = float(part)
    return np.array([weight(1 + t), weight(t), weight(1 - t), weight(2 - t)])


def _filtered(a: Assembly, x: str, taps: list[Array]) -> str:
    """Enlarged by a filter for each phase, along both axes; the border's pixels repeated."""
    factor = len(taps)
    phases = np.stack(taps)  # (factor, 5)
    kernel = np.einsum("yi,xj->yxij", phases, phases).reshape(factor**2, 1, 5, 5)
    how = {"channels": factor**2, "kernel": 5, "padding": "edge"}
    parts = [
        a.add("convolution", a.cut(x, channel, 1), tensors={"weight": kernel}, **how)
        for channel in range(a.channels(x))
    ]
    return a.add("pixel_shuffle", a.concatenate(parts), factor=factor)
