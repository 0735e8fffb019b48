"""The kinds of operations: what each reads, which tensors it has, and what it costs.

What a kind computes is written in `models/operations.py`, in plain PyTorch. Activations are
(N, C, H, W) there; H and W are those of the value's grid. The border of a picture is zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagen_fast.errors import SpecError
from imagen_fast.graph.graph import MAX_CHANNELS, MAX_READ, Attribute, Grid, Operation, Value

ACTIVATIONS = ("none", "relu", "leaky_relu", "prelu", "silu", "sigmoid", "gelu")

Read = Sequence[Value | None]  # what an operation reads; None where an input is left out
Settings = Mapping[str, Any]
Shapes = dict[str, tuple[int, ...]]
Interval = tuple[int, int]  # first and last pixel along an axis
EVERYTHING: Interval = (-(1 << 40), 1 << 40)


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int
    high: int

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        return type(value) is int and self.low <= value <= self.high


@dataclass(frozen=True)
class Number:
    """A finite number."""

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return abs(value) < 1e30  # so NaN is none; whole numbers may be too large for a float


@dataclass(frozen=True)
class Word:
    """One of these words."""

    of: tuple[str, ...]

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        return value in self.of


@dataclass(frozen=True)
class Flag:
    """True or false."""

    def check(self, value: Attribute) -> bool:
        """Whether an attribute may be this."""
        return type(value) is bool


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        about: what it computes.
        inputs: names of what it reads; one that ends in "?" may be left out, one that ends in "*"
            stands for any number, the last of all.
        attributes: name → (range, default); a default of None must be given.
        output: attributes and values read → channels and grid of the result.
        tensors: attributes, values read and the result → role → shape. A role that ends in "?" may
            be left out.
        reads: attributes, values read, pixels of the result (low, high), and the place of an
            input → the pixels of this input that they depend on.
        flops: attributes, values read and the result → operations for a pixel of the result, two
            for a multiplication and its sum.
        same: inputs that are of the result's channels and grid.
    """

    about: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, tuple[Whole | Number | Word | Flag, Attribute | None]]
    output: Callable[[Settings, Read], Value]
    tensors: Callable[[Settings, Read, Value], Shapes] = lambda a, x, y: {}
    reads: Callable[[Settings, Read, Interval, int], Interval] = lambda a, x, pixels, place: pixels
    flops: Callable[[Settings, Read, Value], float] = lambda a, x, y: y.channels
    same: tuple[str, ...] = ("added",)

    def settings(self, operation: Operation) -> dict[str, Any]:
        """The operation's attributes, defaults included. Raises SpecError: out of range."""
        if unknown := operation.attributes.keys() - self.attributes.keys():
            raise SpecError(f"unknown attribute {sorted(unknown)[0]!r}")
        settings = {}
        for name, (allowed, default) in self.attributes.items():
            value = operation.attributes.get(name, default)
            if value is None or not allowed.check(value):
                raise SpecError(f"{name} is {value!r}; expected {allowed}")
            settings[name] = value
        return settings

    def roles(self, count: int) -> list[str]:
        """What each of an operation's inputs is."""
        names = list(self.inputs)
        if names[-1].endswith("*"):
            last = names.pop()
            names += [last] * (count - len(names))
        return names

    def value(self, operation: Operation, read: Read) -> Value:
        """Channels and grid of the result. Raises SpecError: inputs do not fit."""
        settings = self.settings(operation)
        roles = self.roles(len(read))
        needed = sum(1 for role in roles if not role.endswith(("?", "*")))
        if not needed <= len(read) <= min(len(roles), MAX_READ):
            raise SpecError(f"{len(read)} inputs; expected {', '.join(self.inputs)}")
        for role, x in zip(roles, read, strict=False):
            if x is None and not role.endswith("?"):
                raise SpecError(f"its input {role!r} is left out")
        result = self.output(settings, read)
        if not 1 <= result.channels <= MAX_CHANNELS:
            raise SpecError(f"{result.channels} channels; expected 1 to {MAX_CHANNELS}")
        for role, x in zip(roles, read, strict=False):
            if x is not None and role.rstrip("?*") in self.same and x != result:
                raise SpecError(f"its input {role!r} is {x}; expected {result}")
        return result

    def shapes(self, operation: Operation, read: Read, result: Value) -> Shapes:
        """The shapes of the operation's tensors by role. Raises SpecError: other roles."""
        shapes = self.tensors(self.settings(operation), read, result)
        wanted = {role.rstrip("?"): shape for role, shape in shapes.items()}
        optional = {role[:-1] for role in shapes if role.endswith("?")}
        if unknown := operation.tensors.keys() - wanted.keys():
            raise SpecError(f"operation {operation.output!r} has no tensor {sorted(unknown)[0]!r}")
        if missing := wanted.keys() - operation.tensors.keys() - optional:
            raise SpecError(f"operation {operation.output!r} lacks tensor {sorted(missing)[0]!r}")
        return {role: shape for role, shape in wanted.items() if role in operation.tensors}


def _first(x: Read) -> Value:
    assert x[0] is not None  # checked by Kind.value
    return x[0]


def _context(x: Read) -> Value | None:
    return x[1] if len(x) > 1 else None


def _convolution(a: Settings, x: Read) -> Value:
    if (a["kernel"], a["stride"]) not in ((1, 1), (3, 1), (2, 2)):
        raise SpecError("kernel and stride are 1 and 1, 3 and 1, or 2 and 2")
    grid = _first(x).grid
    return Value(a["channels"], grid.halved() if a["stride"] == 2 else grid)


def _convolution_tensors(a: Settings, x: Read, y: Value) -> Shapes:
    out = y.channels * a.get("factor", 1) ** 2
    shapes = {"weight": (out, _first(x).channels, a["kernel"], a["kernel"]), "bias?": (out,)}
    return shapes | ({"slopes": (out,)} if a.get("activation") == "prelu" else {})


def _convolution_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    low, high = pixels
    if place > 0:
        return pixels
    if a["stride"] == 2:
        return 2 * low, 2 * high + 1
    return low - a["kernel"] // 2, high + a["kernel"] // 2


def _convolution_flops(a: Settings, x: Read, y: Value) -> float:
    kernel: int = a["kernel"]
    return 2.0 * _first(x).channels * kernel**2 * y.channels


def _enlarged_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    border = 0 if place else a.get("kernel", 1) // 2
    return pixels[0] // a["factor"] - border, pixels[1] // a["factor"] + border


def _subpixel(a: Settings, x: Read) -> Value:
    base = _context(x)
    if a["channels"] * a["factor"] ** 2 > MAX_CHANNELS:
        raise SpecError(f"more than {MAX_CHANNELS} channels before the shuffle")
    if base is not None and base != Value(a["channels"], _first(x).grid):
        raise SpecError(f"its base is {base}; expected {a['channels']} channels, as x lies")
    return Value(a["channels"], _first(x).grid.enlarged(a["factor"]))


def _shuffled(a: Settings, x: Read) -> Value:
    channels, square = _first(x).channels, a["factor"] ** 2
    if channels % square:
        raise SpecError(f"{channels} channels; expected a multiple of factor², {square}")
    return Value(channels // square, _first(x).grid.enlarged(a["factor"]))


def _transposed(a: Settings, x: Read) -> Value:
    skip = _context(x)
    if skip is None:
        return Value(a["channels"], _first(x).grid.enlarged(2))
    if skip.grid.halved() != _first(x).grid:
        raise SpecError(f"its input lies on {_first(x).grid}; expected half of {skip.grid}")
    return Value(a["channels"], skip.grid)  # cropped to the skip


def _windows(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    """The windows of attention that hold the pixels, where keys are read."""
    keys = 0 if _context(x) is None else 1
    if place != keys:
        return pixels
    window, shift = a["window"], a["shift"]
    low, high = ((end + shift) // window * window - shift for end in pixels)
    return low, high + window - 1


def _everywhere(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    return EVERYTHING if place == (0 if _context(x) is None else 1) else pixels


def _attention(a: Settings, x: Read) -> Value:
    context = _context(x)
    if _first(x).channels % a["head_dim"]:
        raise SpecError(f"{_first(x).channels} channels; expected a multiple of head_dim")
    if a.get("plain") and (len(x) > 1 or a["head_dim"] != _first(x).channels):
        raise SpecError("the listing's attention has one head and one input")
    if "window" in a:
        if a["window"] % 2:
            raise SpecError(f"window is {a['window']}; expected an even number")
        if a["shift"] not in (0, a["window"] // 2):
            raise SpecError(f"shift is {a['shift']}; expected 0 or half a window")
        if context is not None and context != _first(x):
            raise SpecError(f"its context is {context}; expected {x[0]}")
    elif context is not None and context.channels != _first(x).channels:
        raise SpecError(f"its context has {context.channels} channels; expected as many as x")
    return _first(x)


def _projections(a: Settings, x: Read, y: Value) -> Shapes:
    """Queries, and keys above values; with a temperature for each head."""
    c = _first(x).channels
    shapes: Shapes = {"q": (c, c), "kv": (2 * c, c), "temperature": (c // a["head_dim"],)}
    return shapes | ({"position": (a["window"] ** 2, c)} if "window" in a else {})


def _attention_tensors(a: Settings, x: Read, y: Value) -> Shapes:
    c = y.channels
    if not a.get("plain"):
        return _projections(a, x, y) | {"proj": (c, c)}
    matrices = dict.fromkeys(("q", "k", "v", "proj"), (c, c))
    return matrices | dict.fromkeys(("q_bias", "k_bias", "v_bias", "proj_bias"), (c,))


def _map(a: Settings, x: Read) -> Value:
    value = _attention(a, x)
    return Value(value.channels // a["head_dim"] * a["window"] ** 2, value.grid)


def _window_flops(a: Settings, x: Read, y: Value) -> float:
    c, window = _first(x).channels, a["window"]
    assert isinstance(window, int)
    return 8.0 * c * c + 4.0 * c * window**2


def _equal(a: Settings, x: Read) -> Value:
    if any(other != x[0] for other in x):
        raise SpecError("its inputs differ in channels or grid")
    return _first(x)


def _joined(a: Settings, x: Read) -> Value:
    given = [other for other in x if other is not None]
    if any(other.grid != given[0].grid for other in given):
        raise SpecError("its inputs lie on different grids")
    return Value(sum(other.channels for other in given), given[0].grid)


def _cut(a: Settings, x: Read) -> Value:
    if a["first"] + a["channels"] > _first(x).channels:
        raise SpecError(f"its input has only {_first(x).channels} channels")
    return Value(a["channels"], _first(x).grid)


_Range = tuple[Whole | Number | Word | Flag, Attribute | None]
_CHANNELS: _Range = (Whole(1, MAX_CHANNELS), None)
_FACTOR: _Range = (Whole(1, 16), None)
_ACTIVATION: dict[str, _Range] = {
    "activation": (Word(ACTIVATIONS), "none"),
    "slope": (Number(), 0.01),  # of leaky_relu below 0
    "scale": (Number(), 1.0),
}
_HEADS: dict[str, _Range] = {"head_dim": (Whole(1, MAX_CHANNELS), None)}
_WINDOW: dict[str, _Range] = {**_HEADS, "window": (Whole(2, 64), None), "shift": (Whole(0, 32), 0)}

KINDS: Mapping[str, Kind] = {
    "convolution": Kind(
        "scale · activation(conv(x) + bias) + added; an odd side is completed by zeros",
        ("x", "added*"),
        {
            "channels": _CHANNELS,
            "kernel": (Whole(1, 3), None),
            "stride": (Whole(1, 2), 1),
            **_ACTIVATION,
        },
        _convolution,
        _convolution_tensors,
        _convolution_reads,
        _convolution_flops,
    ),
    "subpixel_convolution": Kind(
        "pixel_shuffle(conv(x) + bias) + base, each of its pixels factor² times "
        "(Shi et al. 2016, arXiv:1609.05158)",
        ("x", "base?"),
        {"channels": _CHANNELS, "kernel": (Whole(3, 3), 3), "factor": _FACTOR},
        _subpixel,
        _convolution_tensors,
        _enlarged_reads,
        _convolution_flops,
    ),
    "transposed_convolution": Kind(
        "transposed convolution of 2×2 pixels and stride 2 + bias + skip, cropped to the skip",
        ("x", "skip?"),
        {"channels": _CHANNELS},
        _transposed,
        lambda a, x, y: {
            "weight": (_first(x).channels, y.channels, 2, 2),
            "bias?": (y.channels,),
        },
        lambda a, x, pixels, place: pixels if place else (pixels[0] // 2, pixels[1] // 2),
        lambda a, x, y: 2.0 * _first(x).channels * y.channels,
        same=("skip",),
    ),
    "window_attention": Kind(
        "x + proj(attention(x, context or x)) + added, within windows (models/blocks.py)",
        ("x", "context?", "added*"),
        _WINDOW,
        _attention,
        _attention_tensors,
        _windows,
        _window_flops,
    ),
    "global_attention": Kind(
        "x + proj(attention(x, context or x)) + added over the whole picture; `plain` as the "
        "article's listing has it: no x +, no norms, a ReLU before the softmax",
        ("x", "context?", "added*"),
        {**_HEADS, "plain": (Flag(), False)},
        _attention,
        _attention_tensors,
        _everywhere,
        lambda a, x, y: 8.0 * y.channels**2,  # and 4 · channels for each key
    ),
    "attention_map": Kind(
        "the probabilities of window attention: for each pixel, heads · window² of them, those of "
        "one head side by side; 0 for keys outside the picture",
        ("x", "context?"),
        _WINDOW,
        _map,
        _projections,
        _windows,
        _window_flops,
    ),
    "sum": Kind(
        "scale · activation(x + y + …) + offset",
        ("x", "y*"),
        {**_ACTIVATION, "offset": (Number(), 0.0)},
        _equal,
        lambda a, x, y: {"slopes": (y.channels,)} if a["activation"] == "prelu" else {},
    ),
    "product": Kind("x · y · …", ("x", "y*"), {}, _equal),
    "concatenate": Kind(
        "the channels of x, then those of y, …", ("x", "y*"), {}, _joined, flops=lambda a, x, y: 0
    ),
    "slice": Kind(
        "channels first to first + channels - 1 of x",
        ("x",),
        {"first": (Whole(0, MAX_CHANNELS), None), "channels": _CHANNELS},
        _cut,
        flops=lambda a, x, y: 0,
    ),
    "pixel_shuffle": Kind(
        "channel (c, dy, dx) becomes channel c of the pixel at (dy, dx) within factor² pixels",
        ("x",),
        {"factor": _FACTOR},
        _shuffled,
        reads=_enlarged_reads,
        flops=lambda a, x, y: 0,
    ),
    "nearest": Kind(
        "each pixel factor² times",
        ("x",),
        {"factor": _FACTOR},
        lambda a, x: Value(_first(x).channels, _first(x).grid.enlarged(a["factor"])),
        reads=_enlarged_reads,
        flops=lambda a, x, y: 0,
    ),
    "halve": Kind(
        "means of 2×2 pixels; an odd last row or column counts twice",
        ("x",),
        {},
        lambda a, x: Value(_first(x).channels, _first(x).grid.halved()),
        reads=lambda a, x, pixels, place: (2 * pixels[0], 2 * pixels[1] + 1),
        flops=lambda a, x, y: 4.0 * y.channels,
    ),
}


def period(operation: Operation, grid: Grid) -> int:
    """Input pixels after which what an operation on this grid does repeats."""
    window = operation.attributes.get("window", 1)
    assert isinstance(window, int)
    pixels = window * (1 << grid.halvings)
    return pixels // math.gcd(pixels, grid.factor)
