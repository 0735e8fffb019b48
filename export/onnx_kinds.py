"""Each kind of operation as nodes of an ONNX file: `graph/kinds.py` has the table of what they are.

Written by hand and not traced, because a trace knows one shape: here height, width and batch may be
open, and then windows, borders and masks follow the live shape. It needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from imagen_fast.graph.convolutions import before

from .onnx_attention import attention_map, global_attention, window_attention
from .onnx_blocks import Blocks, Call


def _convolution(b: Blocks, call: Call) -> str:
    a, x, pads = call.a, call.read[0], [0, 0, 0, 0]
    if a["padding"] != "valid":
        start = before(a["kernel"])
        end = a["kernel"] - 1 - start  # with stride 2 an even side reads one less
        pads = [start, start, end, end]
        if a["padding"] != "zero":
            x, pads = b.extended(x, a["padding"], start, (end, end), call.value(0).grid), [0] * 4
    channels = call.value(0).channels
    weights = [name for role in ("weight", "bias") if (name := b.tensor(call, role))]
    x = b.nodes.op(
        "Conv",
        b.narrow(x),
        *weights,
        pads=pads,
        strides=[a["stride"]] * 2,
        group=channels if a["depthwise"] else 1,
    )
    return b.plus(b.scaled(b.activated(x, call), a["scale"]), call.read[1:])


def _subpixel_convolution(b: Blocks, call: Call) -> str:
    factor, c = call.a["factor"], call.result.channels
    weights = [name for role in ("weight", "bias") if (name := b.tensor(call, role))]
    x = b.widen(b.nodes.op("Conv", b.narrow(call.read[0]), *weights, pads=[1] * 4))
    if base := call.optional(1):
        each = b.nodes.constant(np.repeat(np.arange(c), factor**2), np.int64)
        base = b.moved("Gather", base, more=[each], axis=1) if factor > 1 else base
        x = b.moved("Add", x, b.widen(base))
    return _shuffled(b, x, factor)


def _transposed_convolution(b: Blocks, call: Call) -> str:
    beyond = before(call.a["kernel"])
    weights = [name for role in ("weight", "bias") if (name := b.tensor(call, role))]
    x = b.nodes.op(
        "ConvTranspose", b.narrow(call.read[0]), *weights, pads=[beyond] * 4, strides=[2, 2]
    )
    if not (skip := call.optional(1)):
        return x
    return b.plus(b.nodes.crop(x, 0, b.size(call.result.grid)), [skip])


def _sum(b: Blocks, call: Call) -> str:
    x, *others = call.read
    plus = len(others) - call.a["minus"]
    for place, other in enumerate(others):
        x = b.moved("Add" if place < plus else "Sub", x, other)
    x = b.scaled(b.activated(x, call), call.a["scale"])
    offset = call.a["offset"]
    return b.moved("Add", x, more=[b.number(offset, x)]) if offset else x


def _product(b: Blocks, call: Call) -> str:
    x, *others = call.read
    for other in others:
        x = b.moved("Mul", x, other)
    return x


def _reduce(b: Blocks, call: Call) -> str:
    x, nodes = call.read[0], b.nodes
    axes = nodes.constant([1] if call.a["over"] == "channels" else [2, 3], np.int64)
    match call.a["function"]:
        case "maximum":
            return b.moved("ReduceMax", x, more=[axes], keepdims=1)
        case "mean":
            return b.in_float32("ReduceMean", x, axes, keepdims=1)
        case function:
            mean = b.in_float32("ReduceMean", x, axes, keepdims=1)
            off = b.moved("Sub", b.widen(x), mean)
            x = b.in_float32("ReduceMean", b.moved("Mul", off, off), axes, keepdims=1)
            return x if function == "variance" else b.moved("Sqrt", x)


def _layer_norm(b: Blocks, call: Call) -> str:
    x = b.nodes.op("Transpose", b.widen(call.read[0]), perm=[0, 2, 3, 1])  # (N, H, W, C)
    ones = np.ones(call.result.channels, np.float32)
    weight = b.tensor(call, "weight", wide=True) or b.nodes.constant(ones, np.float32)
    bias = [name] if (name := b.tensor(call, "bias", wide=True)) else []
    x = b.nodes.op("LayerNormalization", x, weight, *bias, epsilon=call.a["epsilon"])
    return b.narrow(b.wide(b.nodes.op("Transpose", x, perm=[0, 3, 1, 2])))


def _concatenate(b: Blocks, call: Call) -> str:
    return b.moved("Concat", *call.read, axis=1) if len(call.read) > 1 else call.read[0]


def _slice(b: Blocks, call: Call) -> str:
    first, nodes = call.a["first"], b.nodes
    ends = (nodes.vector(place) for place in (first, first + call.a["channels"], 1))
    return b.moved("Slice", call.read[0], more=list(ends))


def _shuffled(b: Blocks, x: str, factor: int) -> str:
    return b.moved("DepthToSpace", x, blocksize=factor, mode="CRD") if factor > 1 else x


def _pixel_unshuffle(b: Blocks, call: Call) -> str:
    nodes, factor, grid = b.nodes, call.a["factor"], call.value(0).grid
    height, width = b.size(call.result.grid)
    sides = (nodes.mul(height, factor), nodes.mul(width, factor))
    ends = [nodes.sub(full, side) for full, side in zip(sides, b.size(grid), strict=True)]
    x = b.extended(call.read[0], "zero", 0, ends, grid)
    c = call.value(0).channels
    x = b.moved("Reshape", x, more=[nodes.vector(-1, c, height, factor, width, factor)])
    x = b.moved("Transpose", x, perm=[0, 1, 3, 5, 2, 4])  # (N, C, factor, factor, H, W)
    return b.moved("Reshape", x, more=[nodes.vector(-1, c * factor**2, height, width)])


def _enlarged(mode: str, place: str) -> Callable[[Blocks, Call], str]:
    def write(b: Blocks, call: Call) -> str:
        factor = call.a["factor"]
        if factor == 1:
            return call.read[0]
        scales = b.nodes.constant([1, 1, factor, factor], np.float32)
        return b.moved(
            "Resize",
            call.read[0],
            more=["", scales],
            mode=mode,
            coordinate_transformation_mode=place,
            nearest_mode="floor",
        )

    return write


def _halve(b: Blocks, call: Call) -> str:
    grid, nodes = call.value(0).grid, b.nodes
    coarse, fine = b.size(call.result.grid), b.size(grid)
    ends = [nodes.sub(nodes.mul(c, 2), f) for c, f in zip(coarse, fine, strict=True)]
    x = b.extended(call.read[0], "edge", 0, ends, grid)
    return b.moved("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])


def _max_pool(b: Blocks, call: Call) -> str:
    kernel, start = call.a["kernel"], before(call.a["kernel"])
    end = kernel - 1 - start
    return b.moved(
        "MaxPool",
        call.read[0],
        kernel_shape=[kernel] * 2,
        pads=[start, start, end, end],
        strides=[call.a["stride"]] * 2,
    )


def _pad(b: Blocks, call: Call) -> str:
    nodes, margin, grid = b.nodes, call.a["margin"], call.value(0).grid
    sides = zip(b.size(call.result.grid), b.size(grid), strict=True)
    ends = [nodes.sub(nodes.sub(full, side), margin) for full, side in sides]
    return b.extended(call.read[0], call.a["padding"], margin, ends, grid)


def _crop(b: Blocks, call: Call) -> str:
    nodes, start = b.nodes, call.a["margin"]
    ends = nodes.vector(*(nodes.add(side, start) for side in b.size(call.result.grid)))
    more = [nodes.vector(start, start), ends, nodes.vector(2, 3)]
    return b.moved("Slice", call.read[0], more=more)


NODES: Mapping[str, Callable[[Blocks, Call], str]] = {
    "convolution": _convolution,
    "subpixel_convolution": _subpixel_convolution,
    "transposed_convolution": _transposed_convolution,
    "window_attention": window_attention,
    "global_attention": global_attention,
    "attention_map": attention_map,
    "sum": _sum,
    "product": _product,
    "reduce": _reduce,
    "layer_norm": _layer_norm,
    "concatenate": _concatenate,
    "slice": _slice,
    "pixel_shuffle": lambda b, call: _shuffled(b, call.read[0], call.a["factor"]),
    "pixel_unshuffle": _pixel_unshuffle,
    "nearest": _enlarged("nearest", "asymmetric"),
    "bilinear": _enlarged("linear", "half_pixel"),
    "halve": _halve,
    "max_pool": _max_pool,
    "pad": _pad,
    "crop": _crop,
}
