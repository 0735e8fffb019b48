"""What each kind of operation computes, in plain PyTorch: the definition that engines are held to.

Values are (N, C, H, W) in whatever precision they come. `graph/kinds.py` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from imagen_fast.errors import SpecError
from imagen_fast.graph.graph import Graph, Operation
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.passes import needed
from imagen_fast.models.blocks import AttentionBlock, rms_norm
from imagen_fast.models.generator import halve
from imagen_fast.models.listing import SelfAttention

Tensors = dict[str, Tensor]  # by role
Settings = dict[str, Any]
Read = list[Tensor | None]


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
    values = {name: inputs[name] for name in graph.inputs}
    for operation in graph.operations:
        read = [values[name] if name else None for name in operation.inputs]
        weights = {role: tensors[name] for role, name in operation.tensors.items()}
        values[operation.output] = compute(operation, weights, read)
    return {name: values[output.value] for name, output in graph.outputs.items()}


def compute(operation: Operation, tensors: Tensors, read: Read) -> Tensor:
    """One operation's result."""
    settings = KINDS[operation.kind].settings(operation)
    return DEFINITIONS[operation.kind](settings, tensors, read)


def activate(x: Tensor, a: Settings, t: Tensors) -> Tensor:
    """The activation that the attributes name."""
    match a["activation"]:
        case "relu":
            return F.relu(x)
        case "leaky_relu":
            return F.leaky_relu(x, a["slope"])
        case "prelu":
            return F.prelu(x, t["slopes"])
        case "silu":
            return F.silu(x)
        case "sigmoid":
            return torch.sigmoid(x)
        case "gelu":
            return F.gelu(x)
        case _:
            return x


def _convolution(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, *added = read
    assert x is not None
    if a["stride"] == 2:  # an odd side is completed
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    padding = a["kernel"] // 2 if a["stride"] == 1 else 0
    x = F.conv2d(x, t["weight"], t.get("bias"), a["stride"], padding)
    x = a["scale"] * activate(x, a, t)
    for y in added:
        assert y is not None
        x = x + y
    return x


def _subpixel_convolution(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, base = read[0], read[1] if len(read) > 1 else None
    assert x is not None
    x = F.pixel_shuffle(F.conv2d(x, t["weight"], t.get("bias"), padding=1), a["factor"])
    return x if base is None else x + _repeat(base, a["factor"])


def _transposed_convolution(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, skip = read[0], read[1] if len(read) > 1 else None
    assert x is not None
    x = F.conv_transpose2d(x, t["weight"], t.get("bias"), stride=2)
    return x if skip is None else skip + x[:, :, : skip.shape[2], : skip.shape[3]]


def _window_attention(a: Settings, t: Tensors, read: Read) -> Tensor:
    return _attention(a, {"position": t["position"]}, t, read)


def _global_attention(a: Settings, t: Tensors, read: Read) -> Tensor:
    if not a["plain"]:
        return _attention({"window": 0, "shift": 0, **a}, {}, t, read)
    x = read[0]
    assert x is not None
    block = SelfAttention(x.shape[1])
    names = {"q": "q", "k": "k", "v": "v", "proj": "out"}
    state = {f"{name}.weight": t[role] for role, name in names.items()}
    state |= {f"{name}.bias": t[f"{role}_bias"] for role, name in names.items()}
    tokens = x.flatten(2).transpose(1, 2)  # (N, H·W, C)
    out: Tensor = torch.func.functional_call(block, state, (tokens,))
    return out.transpose(1, 2).view(x.shape)


def _attention(a: Settings, position: Tensors, t: Tensors, read: Read) -> Tensor:
    x, context, *added = [*read, None][: max(2, len(read))]
    assert x is not None
    block = AttentionBlock(x.shape[1], a["head_dim"], a["window"], a["shift"])
    state = {f"{name}.weight": t[name] for name in ("q", "kv", "proj")}
    state |= {"temperature": t["temperature"], **position}
    if context is not None and not a["window"]:
        context = context.flatten(2).transpose(1, 2)  # (N, T, C)
    out: Tensor = torch.func.functional_call(block, state, (x, context))
    for y in added:
        if y is not None:
            out = out + y
    return out


def _attention_map(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, context = read[0], read[1] if len(read) > 1 else None
    assert x is not None
    n, c, h, w = x.shape
    d, window = a["head_dim"], a["window"]
    block = AttentionBlock(c, d, window, a["shift"])

    def project(y: Tensor, weight: Tensor) -> Tensor:  # (B, heads, window², d)
        tokens = block.partition(y.permute(0, 2, 3, 1)) + t["position"]
        return rms_norm(F.linear(tokens, weight).unflatten(-1, (-1, d)).transpose(1, 2))

    q = project(x, t["q"])
    k = project(x if context is None else context, t["kv"][:c])
    logits = t["temperature"].view(-1, 1, 1) * d**-0.5 * q @ k.transpose(-1, -2)
    mask = block.mask(n, h, w, x.device)
    if mask is not None:
        logits = logits + mask
    maps = logits.softmax(-1).transpose(1, 2).flatten(2)  # (B, window², heads · window²)
    return block.merge(maps, n, h, w).permute(0, 3, 1, 2)


def _sum(a: Settings, t: Tensors, read: Read) -> Tensor:
    return a["scale"] * activate(sum(_given(read)), a, t) + a["offset"]  # type: ignore[arg-type]


def _product(a: Settings, t: Tensors, read: Read) -> Tensor:
    x, *others = _given(read)
    for y in others:
        x = x * y
    return x


def _given(read: Read) -> list[Tensor]:
    return [x for x in read if x is not None]


def _repeat(x: Tensor, factor: int) -> Tensor:
    return x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


DEFINITIONS: dict[str, Callable[[Settings, Tensors, Read], Tensor]] = {
    "convolution": _convolution,
    "subpixel_convolution": _subpixel_convolution,
    "transposed_convolution": _transposed_convolution,
    "window_attention": _window_attention,
    "global_attention": _global_attention,
    "attention_map": _attention_map,
    "sum": _sum,
    "product": _product,
    "concatenate": lambda a, t, read: torch.cat(_given(read), 1),
    "slice": lambda a, t, read: _given(read)[0][:, a["first"] : a["first"] + a["channels"]],
    "pixel_shuffle": lambda a, t, read: F.pixel_shuffle(_given(read)[0], a["factor"]),
    "nearest": lambda a, t, read: _repeat(_given(read)[0], a["factor"]),
    "halve": lambda a, t, read: halve(_given(read)[0]),
}
