"""What each kind of operation computes, in plain PyTorch: the definition that engines are held to.

Values are (N, C, H, W) in whatever precision they come. `graph/kinds.py` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen_fast.errors import SpecError
from imagen_fast.graph.convolutions import before
from imagen_fast.graph.graph import Graph
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.operation import Operation
from imagen_fast.graph.passes import needed
from imagen_fast.models.blocks import (
    Windows,
    attended,
    over_picture,
    probabilities,
    within_windows,
)
from imagen_fast.models.generator import halve

Tensors = dict[str, Tensor]  # by role
Settings = dict[str, Any]
Read = list[Tensor | None]
Definition = Callable[[Settings, Tensors, Read], Tensor]


def run_graph(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor],
    outputs: Iterable[str] | None = None,
) -> dict[str, Tensor]:
    """A graph's outputs, pictures not clamped.

    Args:
        tensors: the weights by name.
        inputs: (N, C, H, W) by name; optional ones may be left out.
        outputs: names of those wanted; None for all that the given inputs suffice for.

    Raises:
        SpecError: an input is missing.
    """
    graph = graph.given(inputs)
    if outputs is None:
        outputs = [n for n in graph.outputs if needed(graph, [n]).inputs.keys() <= inputs.keys()]
    graph = needed(graph, outputs)
    if missing := graph.inputs.keys() - inputs.keys():
        raise SpecError(f"the graph's input {sorted(missing)[0]!r} is missing")
    return run_steps(steps(graph), tensors, inputs)


def compute(operation: Operation, tensors: Tensors, read: Read) -> Tensor:
    """One operation's result."""
    settings = KINDS[operation.kind].settings(operation)
    return DEFINITIONS[operation.kind](settings, tensors, read)


@dataclass(frozen=True)
class Steps:
    """A graph in plain lists, which `torch.compile` reads.

    Attributes:
        operations: definition, attributes, tensors' names by role, names of what is read, name of
            the result, and names of values that nobody reads afterwards.
        outputs: names of values by names of outputs.
    """

    operations: list[tuple[Definition, Settings, dict[str, str], list[str], str, list[str]]]
    outputs: dict[str, str]


def steps(graph: Graph) -> Steps:
    """What `run_steps` does for a graph none of whose inputs is optional."""
    kept = {output.value for output in graph.outputs.values()}
    operations: list[Any] = []
    for x in reversed(graph.operations):
        settings = KINDS[x.kind].settings(x)
        done = sorted({name for name in x.inputs if name} - kept)
        kept.update(done)
        operations.append(
            (DEFINITIONS[x.kind], settings, dict(x.tensors), list(x.inputs), x.output, done)
        )
    return Steps(operations[::-1], {name: x.value for name, x in graph.outputs.items()})


def run_steps(
    todo: Steps, tensors: Mapping[str, Tensor], inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The outputs, in order; what is no longer needed is given back on the way."""
    values = dict(inputs)
    for define, settings, roles, names, output, done in todo.operations:
        read = [values[name] if name else None for name in names]
        weights = {role: tensors[name] for role, name in roles.items()}
        values[output] = define(settings, weights, read)
        del read
        for name in done:
            del values[name]
    return {name: values[value] for name, value in todo.outputs.items()}


def activate(x: Tensor, a: Settings, t: Tensors) -> Tensor:
    """The activation that the attributes name."""
    name = a["activation"]
    return x if name == "none" else ACTIVATIONS[name](x, a, t)


ACTIVATIONS: dict[str, Callable[[Tensor, Settings, Tensors], Tensor]] = {
    "relu": lambda x, a, t: F.relu(x),
    "leaky_relu": lambda x, a, t: F.leaky_relu(x, a["slope"]),
    "prelu": lambda x, a, t: F.prelu(x, t["slopes"]),
    "silu": lambda x, a, t: F.silu(x),
    "sigmoid": lambda x, a, t: torch.sigmoid(x),
    "gelu": lambda x, a, t: F.gelu(x),
    "gelu_tanh": lambda x, a, t: F.gelu(x, approximate="tanh"),
    "mish": lambda x, a, t: F.mish(x),
    "tanh": lambda x, a, t: torch.tanh(x),
    "hard_swish": lambda x, a, t: F.hardswish(x),
    "clamp": lambda x, a, t: x.clamp(a["low"], a["high"]),
    "elu": lambda x, a, t: F.elu(x, a["slope"]),
    "softplus": lambda x, a, t: F.softplus(x),
    "abs": lambda x, a, t: x.abs(),
    "square": lambda x, a, t: x * x,
    "sqrt": lambda x, a, t: x.sqrt(),
    "reciprocal": lambda x, a, t: x.reciprocal(),
    "exp": lambda x, a, t: x.exp(),
    "log": lambda x, a, t: x.log(),
    "erf": lambda x, a, t: x.erf(),
    "power": lambda x, a, t: x.pow(a["exponent"]),
}


def extend(x: Tensor, padding: str, before: int, after: tuple[int, int]) -> Tensor:
    """`before` pixels more above and left of the picture, and `after` below and right of it."""
    down, right = after
    if padding == "zero":
        return F.pad(x, (before, right, before, down))
    for axis, end in ((2, down), (3, right)):
        size = x.shape[axis]
        pixels = torch.arange(-before, size + end, device=x.device)
        if padding == "edge":
            pixels = pixels.clamp(0, size - 1)
        else:  # to and fro between the ends
            period = max(1, 2 * (size - 1))
            pixels = pixels % period
            pixels = torch.minimum(pixels, period - pixels)
        x = x.index_select(axis, pixels)
    return x


def _convolution(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, *added = read
    assert x is not None
    if a["padding"] != "valid":
        x = extend(x, a["padding"], before(a["kernel"]), _after(x, a["kernel"], a["stride"]))
    groups = x.shape[1] if a["depthwise"] else 1
    x = F.conv2d(x, t["weight"], t.get("bias"), a["stride"], groups=groups)
    return _plus(a["scale"] * activate(x, a, t), added)


def _after(x: Tensor, kernel: int, stride: int) -> tuple[int, int]:
    """How many pixels below and right of x a kernel reads, or does not (negative)."""
    down, right = (
        (-(-size // stride) - 1) * stride + kernel - before(kernel) - size for size in x.shape[2:]
    )
    return down, right


def _subpixel_convolution(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, base = read[0], read[1] if len(read) > 1 else None
    assert x is not None
    x = F.pixel_shuffle(F.conv2d(x, t["weight"], t.get("bias"), padding=1), a["factor"])
    return x if base is None else x + _repeat(base, a["factor"])


def _transposed_convolution(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, skip = read[0], read[1] if len(read) > 1 else None
    assert x is not None
    beyond = before(a["kernel"])
    x = F.conv_transpose2d(x, t["weight"], t.get("bias"), stride=2, padding=beyond)
    return x if skip is None else skip + x[:, :, : skip.shape[2], : skip.shape[3]]


def _window_attention(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, context, *added = _attended(read)
    windows = Windows(a["window"], a["shift"])
    return _plus(x + within_windows(x, context, t["position"], windows, _attend(a, t)), added)


def _global_attention(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, context, *added = _attended(read)
    attend = _plain_attend(t) if a["plain"] else _attend(a, t)
    out = over_picture(x, context, attend)
    return out if a["plain"] else _plus(x + out, added)


def _attention_map(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, context, *_ = _attended(read)
    d = a["head_dim"]

    def attend(queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        q, k = _heads(queries, t["q"], d), _heads(keys, t["kv"][: x.shape[1]], d)
        weights = probabilities(q, k, t["temperature"], mask)  # (B, heads, win², win²)
        return weights.transpose(1, 2).flatten(2)

    return within_windows(x, context, t["position"], Windows(a["window"], a["shift"]), attend)


def _attended(read: Read) -> list[Any]:
    """x, the context or None, and what is added."""
    return [*read, None][: max(2, len(read))]


def _attend(a: Settings, t: Tensors) -> Callable[..., Tensor]:
    def attend(queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        q = _heads(queries, t["q"], a["head_dim"])
        out = attended(q, F.linear(keys, t["kv"]), t["temperature"], mask)
        return F.linear(out, t["proj"])

    return attend


def _plain_attend(t: Tensors) -> Callable[..., Tensor]:
    """`SelfAttention` of models/listing.py."""

    def attend(queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (F.linear(keys, t[name], t[f"{name}_bias"]) for name in "qkv")
        scores = F.relu(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5)
        return F.linear(scores.softmax(-1) @ v, t["proj"], t["proj_bias"])

    return attend


def _heads(x: Tensor, weight: Tensor, d: int) -> Tensor:
    """(B, T, C) → (B, heads, T, d)."""
    return F.linear(x, weight).unflatten(-1, (-1, d)).transpose(1, 2)


def _plus(x: Tensor, added: Iterable[Tensor | None]) -> Tensor:
    for y in added:
        if y is not None:
            x = x + y
    return x


def _sum(a: Settings, t: Tensors, read: Read) -> Tensor:
    values = _given(read)
    plus = len(values) - a["minus"]
    x = values[0]
    for y in values[1:plus]:
        x = x + y
    for y in values[plus:]:
        x = x - y
    return a["scale"] * activate(x, a, t) + a["offset"]


def _product(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, *others = _given(read)
    for y in others:
        x = x * y
    return x


def _reduce(a: Settings, t: Tensors, read: Read) -> Tensor:
    (x,) = _given(read)
    axes = (1,) if a["over"] == "channels" else (2, 3)
    match a["function"]:
        case "mean":
            return x.mean(axes, keepdim=True)
        case "maximum":
            return x.amax(axes, keepdim=True)
        case function:
            variance = (x - x.mean(axes, keepdim=True)).square().mean(axes, keepdim=True)
            return variance if function == "variance" else variance.sqrt()


def _layer_norm(a: Settings, t: Tensors, read: Read) -> Tensor:
    (x,) = _given(read)
    x = x.permute(0, 2, 3, 1)  # (N, H, W, C)
    x = F.layer_norm(x, x.shape[3:], t.get("weight"), t.get("bias"), a["epsilon"])
    return x.permute(0, 3, 1, 2)


def _pixel_unshuffle(a: Settings, t: Tensors, read: Read) -> Tensor:
    (x,) = _given(read)
    height, width = (-size % a["factor"] for size in x.shape[2:])
    return F.pixel_unshuffle(F.pad(x, (0, width, 0, height)), a["factor"])


def _bilinear(a: Settings, t: Tensors, read: Read) -> Tensor:
    (x,) = _given(read)
    size = [a["factor"] * side for side in x.shape[2:]]
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def _max_pool(a: Settings, t: Tensors, read: Read) -> Tensor:
    (x,) = _given(read)
    start, (down, right) = before(a["kernel"]), _after(x, a["kernel"], a["stride"])
    x = F.pad(x, (start, right, start, down), value=-torch.inf)
    return F.max_pool2d(x, a["kernel"], a["stride"])


def _pad(a: Settings, t: Tensors, read: Read) -> Tensor:
    (x,) = _given(read)
    down, right = (-size % 2 ** a["halvings"] + a["margin"] for size in x.shape[2:])
    return extend(x, a["padding"], a["margin"], (down, right))


def _crop(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, *like = _given(read)
    start = a["margin"]
    height, width = (
        [a["factor"] * side for side in like[0].shape[2:]]
        if like
        else [side - 2 * start for side in x.shape[2:]]
    )
    return x[:, :, start : start + height, start : start + width]


def _given(read: Read) -> list[Tensor]:
    return [x for x in read if x is not None]


def _repeat(x: Tensor, factor: int) -> Tensor:
    return x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


DEFINITIONS: dict[str, Definition] = {
    "convolution": _convolution,
    "subpixel_convolution": _subpixel_convolution,
    "transposed_convolution": _transposed_convolution,
    "window_attention": _window_attention,
    "global_attention": _global_attention,
    "attention_map": _attention_map,
    "sum": _sum,
    "product": _product,
    "reduce": _reduce,
    "layer_norm": _layer_norm,
    "concatenate": lambda a, t, read: torch.cat(_given(read), 1),
    "slice": lambda a, t, read: _given(read)[0][:, a["first"] : a["first"] + a["channels"]],
    "pixel_shuffle": lambda a, t, read: F.pixel_shuffle(_given(read)[0], a["factor"]),
    "pixel_unshuffle": _pixel_unshuffle,
    "nearest": lambda a, t, read: _repeat(_given(read)[0], a["factor"]),
    "bilinear": _bilinear,
    "halve": lambda a, t, read: halve(_given(read)[0]),
    "max_pool": _max_pool,
    "pad": _pad,
    "crop": _crop,
}
