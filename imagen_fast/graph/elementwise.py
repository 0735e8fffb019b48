"""Kinds that compute each pixel of the same pixel, and those that gather a picture in one."""

from __future__ import annotations

from collections.abc import Mapping

from imagen_fast.errors import SpecError
from imagen_fast.graph import activations
from imagen_fast.graph.grid import Grid
from imagen_fast.graph.kind import (
    CHANNELS,
    EVERYTHING,
    Interval,
    Kind,
    Number,
    Read,
    Settings,
    Whole,
    Word,
    first,
)
from imagen_fast.graph.operation import MAX_CHANNELS, MAX_READ, Value

ONE_PIXEL = Grid("")  # what is computed of a whole picture lies on


def _broadcast(a: Settings, x: Read) -> Value:
    """The size that all inputs have, or have one channel or one pixel of."""
    values = [other for other in x if other is not None]
    grids = {other.grid for other in values} - {ONE_PIXEL} or {ONE_PIXEL}
    channels = {other.channels for other in values} - {1} or {1}
    if len(grids) > 1 or len(channels) > 1:
        raise SpecError("its inputs differ in channels or grid")
    return Value(channels.pop(), grids.pop())


def _summed(a: Settings, x: Read) -> Value:
    if a["minus"] >= len(x):
        raise SpecError(f"{a['minus']} inputs to subtract; expected fewer than all of them")
    return _broadcast(a, x)


def _same_pixel(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    value = x[place]
    return (0, 0) if value is not None and value.grid == ONE_PIXEL else pixels


def _reduced(a: Settings, x: Read) -> Value:
    if a["over"] == "channels":
        return Value(1, first(x).grid)
    return Value(first(x).channels, ONE_PIXEL)


def _joined(a: Settings, x: Read) -> Value:
    given = [other for other in x if other is not None]
    if any(other.grid != given[0].grid for other in given):
        raise SpecError("its inputs lie on different grids")
    return Value(sum(other.channels for other in given), given[0].grid)


def _cut(a: Settings, x: Read) -> Value:
    if a["first"] + a["channels"] > first(x).channels:
        raise SpecError(f"its input has only {first(x).channels} channels")
    return Value(a["channels"], first(x).grid)


ELEMENTWISE: Mapping[str, Kind] = {
    # scale · activation(x + y + …) + offset, the last `minus` of the inputs subtracted; those of
    # one channel or one pixel count for all channels or pixels.
    "sum": Kind(
        ("x", "y*"),
        {
            **activations.settings(activations.ACTIVATIONS + activations.FUNCTIONS),
            "exponent": (Number(), 1.0),  # of power
            "offset": (Number(), 0.0),
            "minus": (Whole(0, MAX_READ), 0),
        },
        _summed,
        lambda a, x, y: {"slopes": (y.channels,)} if a["activation"] == "prelu" else {},
        _same_pixel,
    ),
    # x · y · …; those of one channel or one pixel count for all channels or pixels.
    "product": Kind(
        ("x", "y*"),
        {},
        _broadcast,
        reads=_same_pixel,
    ),
    # One number of all the channels of a pixel, or one pixel of the whole picture: their mean,
    # variance, deviation (the root of the variance, of all and not one less) or maximum.
    "reduce": Kind(
        ("x",),
        {
            "function": (Word(("mean", "variance", "deviation", "maximum")), None),
            "over": (Word(("picture", "channels")), None),
        },
        _reduced,
        reads=lambda a, x, pixels, place: EVERYTHING if a["over"] == "picture" else pixels,
        flops=lambda a, x, y: first(x).channels if a["over"] == "channels" else 0.0,
    ),
    # weight · (x - mean) / √(variance + epsilon) + bias, of the channels of each pixel.
    "layer_norm": Kind(
        ("x",),
        {"epsilon": (Number(), 1e-5)},
        lambda a, x: first(x),
        lambda a, x, y: {"weight?": (y.channels,), "bias?": (y.channels,)},
        flops=lambda a, x, y: 8.0 * y.channels,
    ),
    "concatenate": Kind(("x", "y*"), {}, _joined, flops=lambda a, x, y: 0),
    "slice": Kind(
        ("x",),
        {"first": (Whole(0, MAX_CHANNELS), None), "channels": CHANNELS},
        _cut,
        flops=lambda a, x, y: 0,
    ),
}
