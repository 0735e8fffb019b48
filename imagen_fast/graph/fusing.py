"""Passes that fold and fuse: fewer operations that compute the same.

Each rule looks at one operation and at what gives its inputs, and says what could stand in its
place; none knows an architecture. Weights are folded in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from imagen_fast.graph.activations import ACTIVATIONS
from imagen_fast.graph.affine import SAME, added_by, affine, is_plain
from imagen_fast.graph.graph import Graph
from imagen_fast.graph.linear import collapsed
from imagen_fast.graph.operation import MAX_READ, Operation
from imagen_fast.graph.rewriting import Array, Rewriting, Tensors
from imagen_fast.graph.spelling import norm, spelled

Rule = Callable[[Rewriting, Operation], Operation | None]


def fused(graph: Graph, tensors: Mapping[str, Array]) -> tuple[Graph, Tensors]:
    """A graph and its weights with everything folded and fused that can be."""
    net = Rewriting(_once(graph), tensors)
    net.run(RULES)
    return net.result()


def _once(graph: Graph) -> Graph:
    """The graph without operations that compute what another one does."""
    known: dict[object, str] = {}
    same: dict[str, str] = {}
    kept = []
    for x in graph.operations:
        inputs = tuple(same.get(name, name) for name in x.inputs)
        key = (x.kind, inputs, *(frozenset(y.items()) for y in (x.tensors, x.attributes)))
        same[x.output] = known.setdefault(key, x.output)
        if same[x.output] == x.output:
            kept.append(replace(x, inputs=inputs))
    outputs = {n: replace(x, value=same.get(x.value, x.value)) for n, x in graph.outputs.items()}
    return Graph(graph.inputs, tuple(kept), outputs)


def scales_of_sums(net: Rewriting, x: Operation) -> Operation | None:
    """s · (t · f(x) + u) + v is one sum."""
    if x.kind != "sum" or len(x.inputs) != 1:
        return None
    outer = net.settings(x)
    inner_made = net.maker(x.inputs[0], "sum")
    if inner_made is None:
        return None
    inner = net.settings(inner_made)
    weights = dict(inner_made.tensors)
    if is_plain(outer):
        inner["offset"] = outer["scale"] * inner["offset"] + outer["offset"]
        inner["scale"] *= outer["scale"]
        return net.made(x, "sum", inner_made.inputs, weights, **inner)
    if is_plain(inner) and (inner["scale"], inner["offset"]) == (1.0, 0.0):
        outer["minus"] = inner["minus"]
        return net.made(x, "sum", inner_made.inputs, dict(x.tensors), **outer)
    return None


def sums_of_sums(net: Rewriting, x: Operation) -> Operation | None:
    """(x + y) + z is one sum."""
    if x.kind not in ("sum", "product") or len(x.inputs) < 2:
        return None
    added = len(x.inputs) - net.settings(x).get("minus", 0)
    for place, name in enumerate(x.inputs[:added]):
        inner = net.maker(name, x.kind)
        if inner is None or len(x.inputs) + len(inner.inputs) > MAX_READ or inner.attributes:
            continue
        if net.values[name] != net.values[x.output]:
            continue  # one channel or pixel of many
        inputs = (*x.inputs[:place], *inner.inputs, *x.inputs[place + 1 :])
        return net.made(x, x.kind, inputs, dict(x.tensors), **dict(x.attributes))
    return None


def squares(net: Rewriting, x: Operation) -> Operation | None:
    """x · x is a square."""
    if x.kind == "product" and len(x.inputs) == 2 and x.inputs[0] == x.inputs[1]:
        return net.made(x, "sum", x.inputs[:1], {}, activation="square")
    return None


def after_convolutions(net: Rewriting, x: Operation) -> Operation | None:
    """A convolution, scaled and with a function of it."""
    if x.kind != "sum" or len(x.inputs) != 1:
        return None
    made = net.maker(x.inputs[0], "convolution")
    if made is None:
        return None
    a, outer = net.settings(made), net.settings(x)
    inner_plain, alone = is_plain(a), len(made.inputs) == 1
    weights: dict[str, Any] = dict(made.tensors)
    if is_plain(outer):
        added = added_by(net, made, outer["scale"])
        if added is None:
            return None
        scale, offset = outer["scale"], outer["offset"] + added[1]
        if inner_plain:
            weight, bias = net.tensor(made, "weight"), net.tensor(made, "bias")
            assert weight is not None
            factor = scale * a["scale"]
            bias = (np.zeros(len(weight)) if bias is None else factor * bias) + offset
            weights = {"weight": factor * weight, "bias": bias if bias.any() else None}
            a["scale"] = 1.0
        elif not np.any(offset):
            a["scale"] *= scale
        else:
            return None
        return net.made(x, "convolution", (made.inputs[0], *added[0]), weights, **a)
    fits = outer["activation"] in ACTIVATIONS and outer["offset"] == 0
    if not (fits and inner_plain and alone and a["scale"] == 1.0):
        return None
    for key in ("activation", "slope", "low", "high", "scale"):
        a[key] = outer[key]
    return net.made(x, "convolution", made.inputs, weights | dict(x.tensors), **a)


def channels_after_convolutions(net: Rewriting, x: Operation) -> Operation | None:
    """A factor and summand for each channel, after a convolution: in its weights."""
    if x.kind != "convolution":
        return None
    a = net.settings(x)
    made = net.maker(x.inputs[0], "convolution")
    if made is None or not (a["depthwise"] and a["kernel"] == a["stride"] == 1):
        return None
    inner = net.settings(made)
    weight, bias = net.tensor(made, "weight"), net.tensor(made, "bias")
    factor, offset = net.tensor(x, "weight"), net.tensor(x, "bias")
    assert weight is not None
    assert factor is not None
    added = added_by(net, made, factor.ravel())
    if not is_plain(inner) or added is None:
        return None
    if len(made.inputs) > 1 and not (is_plain(a) and a["scale"] == 1):
        return None  # the function is of what is added as well
    factor = factor.ravel() * inner["scale"]
    summand = (np.zeros(len(weight)) if bias is None else factor * bias) + added[1]
    summand = summand if offset is None else summand + offset
    weights = {
        "weight": weight * factor[:, None, None, None],
        "bias": summand if summand.any() else None,
        "slopes": x.tensors.get("slopes"),
    }
    for key in ("activation", "slope", "low", "high", "scale"):
        inner[key] = a[key]
    inputs = (made.inputs[0], *added[0], *x.inputs[1:])
    return net.made(x, "convolution", inputs, weights, **inner)


def before_convolutions(net: Rewriting, x: Operation) -> Operation | None:
    """Factors, and without a border of zeros summands, before a convolution: in its weights."""
    if x.kind != "convolution":
        return None
    found = affine(net, net.maker(x.inputs[0], once=False))
    if found is None:
        return None
    source, scale, offset = found
    if np.any(offset) and not net.maker(x.inputs[0]):
        return None  # it would be computed nevertheless if one of the others cannot
    a = net.settings(x)
    if net.values[source] != net.values[x.inputs[0]]:
        return None
    if np.any(offset) and a["kernel"] > 1 and a["padding"] == "zero":
        return None
    if a["kernel"] == 1 and a["depthwise"]:
        return None  # two of them: the first rule's
    weight, bias = net.tensor(x, "weight"), net.tensor(x, "bias")
    assert weight is not None
    inner = net.values[source].channels
    factor, summand = np.broadcast_to(scale, inner), np.broadcast_to(offset, inner)
    shape = (inner, 1, 1, 1) if a["depthwise"] else (1, inner, 1, 1)
    taps = weight.sum((2, 3))  # (O, I), or (C, 1)
    more = taps[:, 0] * summand if a["depthwise"] else taps @ summand
    bias = more if bias is None else bias + more
    weights = {
        "weight": weight * factor.reshape(shape),
        "bias": bias if bias.any() else None,
        "slopes": x.tensors.get("slopes"),
    }
    return net.made(x, "convolution", (source, *x.inputs[1:]), weights, **a)


def permutations(net: Rewriting, x: Operation) -> Operation | None:
    """Channels put in another order after a convolution: its weights are."""
    if x.kind != "convolution" or len(x.inputs) > 1:
        return None
    a = net.settings(x)
    weight = net.tensor(x, "weight")
    made = net.maker(x.inputs[0], "convolution")
    plain = (
        a["kernel"] == a["stride"] == a["scale"] == 1 and is_plain(a) and "bias" not in x.tensors
    )
    if made is None or not plain or a["depthwise"] or len(made.inputs) > 1:
        return None
    assert weight is not None
    matrix, order = weight[:, :, 0, 0], weight[:, :, 0, 0].argmax(1)
    inner = net.settings(made)
    if inner["depthwise"] or not np.array_equal(matrix, np.eye(matrix.shape[1])[order]):
        return None
    weights = {role: net.tensors[name][order] for role, name in made.tensors.items()}
    return net.made(x, "convolution", made.inputs, weights, **inner | {"channels": len(order)})


def residuals(net: Rewriting, x: Operation) -> Operation | None:
    """Values added to a convolution, or from which it is subtracted."""
    if x.kind != "sum" or len(x.inputs) < 2:
        return None
    a = net.settings(x)
    if not is_plain(a) or a["scale"] != 1 or a["offset"] != 0:
        return None
    added = len(x.inputs) - a["minus"]
    order = list(net.operations)
    found = [
        (order.index(name), place)
        for place, name in enumerate(x.inputs)
        if net.maker(name, "convolution")
        and net.values[name] == net.values[x.output]
        and (a["minus"] == 0 or (a["minus"] == 1 and place == added))
    ]
    if not found:
        return None
    place = max(found)[1]
    others = [name for i, name in enumerate(x.inputs) if i != place]
    made = net.operations[x.inputs[place]]
    if len(made.inputs) + len(others) > MAX_READ or (a["minus"] and len(made.inputs) > 1):
        return None
    how = net.settings(made)
    how["scale"] *= -1 if a["minus"] else 1
    return net.made(x, "convolution", (*made.inputs, *others), dict(made.tensors), **how)


def borders(net: Rewriting, x: Operation) -> Operation | None:
    """A border put around a picture for a convolution: it does that itself."""
    if x.kind != "convolution":
        return None
    a = net.settings(x)
    made = net.maker(x.inputs[0], "pad", once=False)
    if made is None or a["padding"] != "valid":
        return None
    around = net.settings(made)
    if around["halvings"] or around["margin"] != a["kernel"] // 2:
        return None
    a["padding"] = around["padding"]
    return net.made(x, "convolution", (*made.inputs, *x.inputs[1:]), dict(x.tensors), **a)


def shuffles(net: Rewriting, x: Operation) -> Operation | None:
    """A convolution before a pixel shuffle, and a picture enlarged that is added to it."""
    if x.kind == "pixel_shuffle":
        made = net.maker(x.inputs[0], "convolution")
        if made is None or len(made.inputs) > 1:
            return None
        a = net.settings(made)
        if made.attributes.keys() - {"channels", "kernel"} or a["kernel"] != 3:
            return None
        how = {"channels": net.values[x.output].channels, "factor": net.settings(x)["factor"]}
        return net.made(x, "subpixel_convolution", made.inputs, dict(made.tensors), **how)
    if x.kind == "sum" and len(x.inputs) == 2 and not x.attributes:
        for one, other in (x.inputs, x.inputs[::-1]):
            made = net.maker(one, "subpixel_convolution")
            base = net.maker(other, "nearest", once=False)
            if made is None or base is None or len(made.inputs) > 1:
                continue
            inputs = (*made.inputs, *base.inputs)
            how = dict(made.attributes)
            return net.made(x, "subpixel_convolution", inputs, dict(made.tensors), **how)
    return None


def joined(net: Rewriting, x: Operation) -> Operation | None:
    """Channels joined to joined ones."""
    if x.kind != "concatenate":
        return None
    for place, name in enumerate(x.inputs):
        inner = net.maker(name, "concatenate")
        if inner is not None and len(x.inputs) + len(inner.inputs) <= MAX_READ:
            inputs = (*x.inputs[:place], *inner.inputs, *x.inputs[place + 1 :])
            return net.made(x, "concatenate", inputs, {})
    return None


def weighted_norms(net: Rewriting, x: Operation) -> Operation | None:
    """A factor and summand for each channel, after a layer norm: in it."""
    made = net.maker(x.inputs[0], "layer_norm") if x.kind == "convolution" else None
    found = affine(net, x)
    if made is None or found is None:
        return None
    _, scale, offset = found
    weight, bias = net.tensor(made, "weight"), net.tensor(made, "bias")
    weight = scale if weight is None else scale * weight
    bias = np.broadcast_to(offset, len(scale)) + (0.0 if bias is None else scale * bias)
    weights = {"weight": weight, "bias": bias}
    return net.made(x, "layer_norm", made.inputs, weights, **dict(made.attributes))


def after_enlarging(net: Rewriting, x: Operation) -> Operation | None:
    """Convolutions that enlarge, with a skip."""
    if x.kind != "sum" or len(x.inputs) != 2 or x.attributes:
        return None
    for one, other in (x.inputs, x.inputs[::-1]):
        made = net.maker(one, "transposed_convolution")
        if made is not None and len(made.inputs) == 1 and net.values[other] == net.values[one]:
            how = dict(made.attributes)
            return net.made(x, made.kind, (*made.inputs, other), dict(made.tensors), **how)
    return None


def scaled_after_enlarging(net: Rewriting, x: Operation) -> Operation | None:
    """A factor and summand, for each channel too, after a convolution that enlarges: in it."""
    found = affine(net, x)
    if found is None:
        return None
    for kind in ("transposed_convolution", "subpixel_convolution"):
        made = net.maker(x.inputs[0], kind)
        added = added_by(net, made, found[1]) if made is not None else None
        if made is None or added is None:
            continue
        how = net.settings(made)
        pixels = how.get("factor", 1) ** 2
        scale, offset = (
            np.broadcast_to(y, how["channels"]).repeat(pixels)
            for y in (found[1], found[2] + added[1])
        )
        weight, bias = net.tensor(made, "weight"), net.tensor(made, "bias")
        assert weight is not None
        shape = (-1, 1, 1) if kind == "transposed_convolution" else (-1, 1, 1, 1)
        bias = offset if bias is None else scale * bias + offset
        weights = {"weight": scale.reshape(shape) * weight, "bias": bias if bias.any() else None}
        return net.made(x, kind, (made.inputs[0], *added[0]), weights, **how)
    return None


def clamped(net: Rewriting, x: Operation) -> Operation | None:
    """Clamping what is clamped to 0 to 1 in any case, since it is handed out as a picture."""
    if x.kind != "sum" or not net.only_picture(x.output):
        return None
    a = net.settings(x)
    bounds = {"clamp": (a["low"], a["high"]), "relu": (0.0, np.inf)}.get(a["activation"])
    if bounds is None:
        return None
    low, high = (a["scale"] * bound + a["offset"] for bound in bounds)
    if low > 0 or high < 1 - SAME:
        return None
    how = {key: a[key] for key in ("scale", "offset", "minus")}
    return net.made(x, "sum", x.inputs, {}, **how)


RULES: tuple[Rule, ...] = (
    scales_of_sums,
    sums_of_sums,
    spelled,
    norm,
    squares,
    after_convolutions,
    channels_after_convolutions,
    before_convolutions,
    permutations,
    borders,
    residuals,
    collapsed,
    shuffles,
    joined,
    weighted_norms,
    after_enlarging,
    scaled_after_enlarging,
    clamped,
)
