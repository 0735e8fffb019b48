"""One operation of every kind, with attributes and sizes that have broken an engine, or could."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from imagen_fast.graph import Graph, Grid, Input, Operation, Output
from imagen_fast.graph.activations import ACTIVATIONS, FUNCTIONS
from imagen_fast.graph.kinds import KINDS

# (N, H, W) and why.
SHAPES = {
    (2, 9, 13): "odd sides, which end within a window; two pictures",
    (1, 16, 8): "even sides, whole windows",
    (1, 1, 2): "less than a window, than a kernel, and too few pixels to mirror",
}
POSITIVE = ("sqrt", "log", "power", "reciprocal")  # functions of numbers above 0

Case = tuple[str, tuple[int, ...], dict[str, Any]]
# What: kind, channels of what it reads (0: left out), attributes.
CASES: dict[str, Case] = {
    "1×1, bias, activation and two additions": (
        "convolution",
        (13, 7, 7),
        {"channels": 7, "kernel": 1, "activation": "silu", "scale": 0.5},
    ),
    "3×3 to as many": ("convolution", (32, 32), {"channels": 32, "kernel": 3}),
    "3×3, channels that fill no vector": ("convolution", (5,), {"channels": 33, "kernel": 3}),
    "3×3, three vectors, silu and a sum": (
        "convolution",
        (9, 40),
        {"channels": 40, "kernel": 3, "activation": "silu"},
    ),
    **{
        f"{kernel}×{kernel} by {stride}, {padding}": (
            "convolution",
            (4,),
            {"channels": 6, "kernel": kernel, "stride": stride, "padding": padding},
        )
        for kernel, stride, padding in (
            *((2, 2, "zero"), (2, 1, "edge"), (3, 2, "reflect"), (4, 2, "zero"), (5, 1, "reflect")),
            *((7, 2, "edge"), (9, 1, "zero")),
        )
    },
    "depthwise": ("convolution", (12,), {"channels": 12, "kernel": 5, "depthwise": True}),
    "a head with a base": ("subpixel_convolution", (16, 3), {"channels": 3, "factor": 3}),
    "a head without": ("subpixel_convolution", (7,), {"channels": 1, "factor": 2}),
    "transposed": ("transposed_convolution", (13,), {"channels": 7}),
    "transposed, skip": ("transposed_convolution", (13, 7), {"channels": 7}),
    "transposed 4×4, skip": ("transposed_convolution", (5, 6), {"channels": 6, "kernel": 4}),
    "transposed 6×6": ("transposed_convolution", (4,), {"channels": 3, "kernel": 6}),
    "windows": ("window_attention", (16,), {"head_dim": 8, "window": 8}),
    "windows shifted, context, addition": (
        "window_attention",
        (20, 20, 20),
        {"head_dim": 5, "window": 6, "shift": 3},
    ),
    "windows, no context, addition": ("window_attention", (8, 0, 8), {"head_dim": 8, "window": 4}),
    "over the picture": ("global_attention", (16,), {"head_dim": 8}),
    "over the picture, context": ("global_attention", (30, 30, 30), {"head_dim": 5}),
    "as the listing has it": ("global_attention", (20,), {"head_dim": 20, "plain": True}),
    "a map": ("attention_map", (16,), {"head_dim": 8, "window": 4, "shift": 2}),
    "a map of another picture": ("attention_map", (10, 10), {"head_dim": 5, "window": 6}),
    "three added, one subtracted": ("sum", (7, 7, 7), {"minus": 1, "offset": -0.5}),
    **{
        name: ("sum", (8,), {"activation": name, "slope": 0.2, "scale": 0.7})
        for name in (*ACTIVATIONS, *FUNCTIONS)
    },
    "clamp": ("sum", (8,), {"activation": "clamp", "low": -0.5, "high": 0.8}),
    "power": ("sum", (8,), {"activation": "power", "exponent": 1.5}),
    "product": ("product", (28, 28, 28), {}),
    "product with one channel": ("product", (9, 1), {}),
    **{
        f"{function} of {over}": ("reduce", (12,), {"function": function, "over": over})
        for function in ("mean", "variance", "deviation", "maximum")
        for over in ("channels", "picture")
    },
    "layer norm": ("layer_norm", (20,), {"epsilon": 1e-6}),
    "concatenation, one twice its size": ("concatenate", (7, 13, 28), {}),
    "slice": ("slice", (33,), {"first": 5, "channels": 20}),
    "pixel shuffle": ("pixel_shuffle", (12,), {"factor": 2}),
    "pixel unshuffle": ("pixel_unshuffle", (3,), {"factor": 4}),
    "nearest": ("nearest", (3,), {"factor": 3}),
    "bilinear": ("bilinear", (4,), {"factor": 3}),
    "halve": ("halve", (3,), {}),
    "max pool 2 by 2": ("max_pool", (8,), {"kernel": 2, "stride": 2}),
    "max pool 3": ("max_pool", (7,), {"kernel": 3}),
    "max pool 3 by 2": ("max_pool", (5,), {"kernel": 3, "stride": 2}),
    "pad, mirrored": ("pad", (4,), {"padding": "reflect", "margin": 3}),
    "pad to multiples": ("pad", (4,), {"padding": "edge", "halvings": 3}),
}  # fmt: skip


def graph_of(kind: str, channels: tuple[int, ...], attributes: dict[str, Any]) -> Graph:
    """The operation alone, with all the tensors that it can have."""
    names = [f"x.{place}" if c else "" for place, c in enumerate(channels)]
    inputs = {name: Input(c) for name, c in zip(names, channels, strict=True) if name}
    skip = kind == "transposed_convolution" and len(names) > 1
    base = names[1] if skip else names[0]  # whose sides all others follow
    for name in inputs:
        if name != base:
            inputs[name] = replace(inputs[name], grid=Grid(base, int(skip)))
    inputs = {base: inputs[base], **inputs}
    extra: tuple[Operation, ...] = ()
    read = tuple(names)
    if attributes.get("activation") in POSITIVE:
        extra = (Operation("sum", "above", read, {}, {"activation": "abs", "offset": 0.5}),)
        read = ("above",)
    operation = Operation(kind, "y", read, {}, attributes)
    values = Graph(inputs, extra, {"first": Output(names[0])}).values
    given = [values[name] if name else None for name in read]
    rule = KINDS[kind]
    known = {key: attributes[key] for key in attributes.keys() & rule.attributes.keys()}
    operation = replace(operation, attributes=known)
    roles = rule.tensors(rule.settings(operation), given, rule.value(operation, given))
    tensors = {role.rstrip("?"): role.rstrip("?") for role in roles}
    return Graph(inputs, (*extra, replace(operation, tensors=tensors)), {"y": Output("y")})


def cropped() -> Graph:
    """Padded, convolved without a border, enlarged, and cropped to the picture."""
    how = {"channels": 4, "kernel": 3, "padding": "valid"}
    return Graph(
        {"x": Input(4)},
        (
            Operation("pad", "even", ("x",), {}, {"padding": "edge", "halvings": 2}),
            Operation("pad", "padded", ("even",), {}, {"padding": "reflect", "margin": 5}),
            Operation("convolution", "a", ("padded",), {"weight": "a"}, how),
            Operation("transposed_convolution", "b", ("a",), {"weight": "b"}, {"channels": 3}),
            Operation("crop", "y", ("b", "x"), {}, {"margin": 8, "factor": 2}),
        ),
        {"y": Output("y")},
    )


def fitted() -> Graph:
    """Halved, enlarged again, and cropped to the picture, whose sides may be odd."""
    return Graph(
        {"x": Input(5)},
        (
            Operation("halve", "half", ("x",)),
            Operation("nearest", "enlarged", ("half",), {}, {"factor": 2}),
            Operation("crop", "y", ("enlarged", "x")),
        ),
        {"y": Output("y")},
    )


GRAPHS = {name: graph_of(*case) for name, case in CASES.items()}
GRAPHS |= {"crop": cropped(), "crop of what was enlarged": fitted()}

# What engines may refuse, by the operation's name: {"triton": {"product", …}}.
NOT_YET: dict[str, set[str]] = {}
