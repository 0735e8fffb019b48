"""Convolutions after and beside convolutions, with nothing between them, as one.

Networks are trained with several that are one afterwards (Ding et al. 2021, arXiv:2101.03697):
1×1 · 3×3 · 1×1, or 3×3 + 1×1 + identity. Where one puts zeros around what another one with a bias
gives, they are none: the one would put that bias around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from imagen_fast.graph.convolutions import MAX_KERNEL, before
from imagen_fast.graph.operation import Operation
from imagen_fast.graph.rewriting import Array, Rewriting

DEEPEST = 8  # convolutions one after the other
MOST_WEIGHTS = 1 << 23


@dataclass(frozen=True)
class Line:
    """Convolutions one after the other, and what the one is that they are.

    Attributes:
        source: the value that they read.
        channels, inner: of the result, and of the source.
        parts: they, the last one first; none for the source itself.
        flops: theirs for a pixel of the result, two for a multiplication and its sum.
        depthwise, kernel, stride, padding: of the one.
    """

    source: str
    channels: int
    inner: int
    parts: tuple[Operation, ...] = ()
    flops: float = 0.0
    depthwise: bool = True
    kernel: int = 1
    stride: int = 1
    padding: str = "zero"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the one's weight."""
        return self.channels, 1 if self.depthwise else self.inner, self.kernel, self.kernel


def collapsed(net: Rewriting, x: Operation) -> Operation | None:
    """A convolution with those before it and those added to it, where that is less to compute."""
    if x.kind != "convolution":
        return None
    a = net.settings(x)
    plain = a["activation"] == "none"
    for own in _lines(net, x):
        beside = [_line_to(net, y, own) if plain else None for y in x.inputs[1:]]
        lines = [own, *(line for line in beside if line)]
        one = _sum(lines)
        flops = sum(line.flops + line.channels for line in lines) - own.channels
        if one is None or 2 * math.prod(one.shape) >= flops:
            continue
        weight, bias = np.zeros(one.shape), np.zeros(one.channels)
        for line in lines:
            taps, summand = _weights(net, line, one.depthwise)
            start = before(one.kernel) - before(line.kernel)
            under = slice(start, start + line.kernel)
            weight[:, :, under, under] += taps
            bias += summand
        weights = {
            "weight": weight,
            "bias": bias if bias.any() else None,
            "slopes": x.tensors.get("slopes"),
        }
        for name in ("depthwise", "kernel", "stride", "padding"):
            a[name] = getattr(one, name)
        if plain:
            a["scale"] = 1.0
        others = zip(x.inputs[1:], beside, strict=True)
        inputs = (one.source, *(y for y, line in others if not line))
        return net.made(x, "convolution", inputs, weights, **a)
    return None


def _lines(net: Rewriting, x: Operation) -> Iterator[Line]:
    """A convolution without what is added to it, and then with ever more of those before it."""
    channels = net.values[x.output].channels
    line: Line | None = Line(x.output, channels, channels)
    part: Operation | None = x
    while part is not None and line is not None and (line := _after(net, line, part)):
        yield line
        border = net.maker(line.source, "pad", once=False)
        if border is not None and line.kernel > 1 and line.padding == "valid":
            how = net.settings(border)
            if not how["halvings"] and how["margin"] == line.kernel // 2:
                line = replace(line, source=border.inputs[0], padding=how["padding"])
                yield line
        part = _plain(net, line.source)


def _plain(net: Rewriting, name: str) -> Operation | None:
    """The convolution that gives a value, if that is all that does and nobody else reads it."""
    x = net.maker(name, "convolution")
    alone = x is not None and len(x.inputs) == 1 and net.settings(x)["activation"] == "none"
    return x if alone else None


def _line_to(net: Rewriting, name: str, other: Line) -> Line | None:
    """A value as a function of what another line reads."""
    if name == other.source:
        return Line(name, other.channels, other.inner)
    x = _plain(net, name)
    lines = _lines(net, x) if x is not None else ()
    return next((line for line in lines if line.source == other.source), None)


def _after(net: Rewriting, line: Line, x: Operation) -> Line | None:
    """The line with the convolution that gives its source; None if they are not one."""
    a = net.settings(x)
    kernel, stride = line.kernel + a["kernel"] - 1, line.stride * a["stride"]
    if line.kernel == 1:
        padding = a["padding"]
    elif a["kernel"] == a["stride"] == 1:
        padding = line.padding
        if padding == "zero" and "bias" in x.tensors:
            return None
    elif line.padding == a["padding"] == "valid":
        padding = "valid"
    else:
        return None
    inner = net.values[x.inputs[0]].channels
    taps = a["channels"] * (1 if a["depthwise"] else inner) * a["kernel"] ** 2
    found = Line(
        x.inputs[0],
        line.channels,
        inner,
        (*line.parts, x),
        line.flops + 2.0 * taps * line.stride**2,
        line.depthwise and a["depthwise"],
        kernel,
        stride,
        padding,
    )
    fits = stride <= 2 and kernel <= MAX_KERNEL and len(found.parts) <= DEEPEST
    return found if fits and line.channels * inner * kernel**2 <= MOST_WEIGHTS else None


def _sum(lines: list[Line]) -> Line | None:
    """The convolution that gives the sum of functions of one value; None if there is none."""
    paddings = {line.padding for line in lines if line.kernel > 1}
    if len(paddings) > 1 or len({line.stride for line in lines}) > 1:
        return None
    widest = max(lines, key=lambda line: line.kernel)
    return replace(widest, depthwise=all(line.depthwise for line in lines))


def _weights(net: Rewriting, line: Line, depthwise: bool) -> tuple[Array, Array]:
    """Weight and bias of the one, in float64; of one that is not depthwise, if so."""
    total, bias = np.eye(line.channels)[:, :, None, None], np.zeros(line.channels)
    if depthwise:
        total = np.ones((line.channels, 1, 1, 1))
    for x in line.parts:
        a, weight, summand = net.settings(x), net.tensor(x, "weight"), net.tensor(x, "bias")
        assert weight is not None
        if a["activation"] != "none":
            a["scale"] = 1.0
        if summand is not None:
            taps = a["scale"] * total.sum((2, 3))
            bias += taps[:, 0] * summand if depthwise else taps @ summand
        alone, size, inner = a["depthwise"], total.shape[2], a["kernel"]
        columns, side = total.shape[1] if alone else weight.shape[1], size + inner - 1
        longer = np.zeros((line.channels, columns, side, side))
        for i, j in np.ndindex(size, size):
            tap = a["scale"] * total[:, :, i, j]
            if alone:
                part = tap[:, :, None, None] * (weight if depthwise else weight.swapaxes(0, 1))
            else:
                part = np.tensordot(tap, weight, 1)
            longer[:, :, i : i + inner, j : j + inner] += part
        total = longer
    return total, bias
