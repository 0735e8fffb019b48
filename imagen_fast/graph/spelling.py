"""Functions that a network spells out, recognised by what they compute.

Sums and products of one value and constants are evaluated on numbers and compared with the
functions that there are, so x · sigmoid(x), 0.5 · x · (1 + erf(x / √2)) and whatever else an
exporter writes for them are the same here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from imagen_fast.graph.operation import Operation
from imagen_fast.graph.rewriting import Array, Rewriting

DEEPEST = 12  # operations of one expression
_erf: Any = np.vectorize(math.erf)

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "square": np.square,
}
ELEMENTARY: dict[str, Callable[[Array, dict[str, Any]], Array]] = {
    "none": lambda x, a: x,
    "relu": lambda x, a: np.maximum(x, 0),
    "leaky_relu": lambda x, a: np.where(x < 0, a["slope"] * x, x),
    "sigmoid": lambda x, a: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, a: np.tanh(x),
    "clamp": lambda x, a: np.clip(x, a["low"], a["high"]),
    "softplus": lambda x, a: np.logaddexp(0, x),
    "abs": lambda x, a: np.abs(x),
    "sqrt": lambda x, a: np.sqrt(x),
    "reciprocal": lambda x, a: 1 / x,
    "exp": lambda x, a: np.exp(x),
    "log": lambda x, a: np.log(x),
    "erf": lambda x, a: _erf(x),
    "power": lambda x, a: np.power(x, a["exponent"]),
}
SAMPLES = np.concatenate([np.linspace(-8, 8, 65), [-0.1, -0.01, 0.01, 0.1]])


def evaluated(net: Rewriting, name: str, leaf: str, x: Array, deep: int = DEEPEST) -> Array | None:
    """What a value is where `leaf` is x, if it is computed of that and of constants alone."""
    if name == leaf:
        return x
    made = net.operations.get(name)
    if made is None or made.kind not in ("sum", "product") or made.tensors or not deep:
        return None
    read = [evaluated(net, y, leaf, x, deep - 1) for y in made.inputs]
    found = [y for y in read if y is not None]
    if len(found) != len(read):
        return None
    if made.kind == "product":
        return np.asarray(np.prod(found, axis=0))
    a = net.settings(made)
    plus = len(found) - a["minus"]
    total = np.sum(found[:plus], axis=0)
    if a["minus"]:
        total = total - np.sum(found[plus:], axis=0)
    function = a["activation"]
    if function in FUNCTIONS:
        result = FUNCTIONS[function](total)
    elif function in ELEMENTARY:
        result = ELEMENTARY[function](total, a)
    else:
        return None
    return np.asarray(a["scale"] * result + a["offset"])


def _leaves(net: Rewriting, x: Operation) -> list[str]:
    """Values that an expression may be of, the nearest first."""
    found: dict[str, None] = {}
    edge = list(x.inputs)
    for _ in range(DEEPEST):
        found |= dict.fromkeys(edge)
        before = [net.operations.get(name) for name in edge]
        edge = [
            name
            for made in before
            if made is not None and made.kind in ("sum", "product")
            for name in made.inputs
        ]
        if not edge or len(found) > 3 * DEEPEST:
            break
    return [name for name in found if net.values[name] == net.values[x.output]]


def spelled(net: Rewriting, x: Operation) -> Operation | None:
    """A product that is a function of one value, times a number."""
    if x.kind != "product" or len(x.inputs) < 2 or len(set(x.inputs)) == 1:
        return None
    with np.errstate(all="ignore"):
        for leaf in _leaves(net, x):
            y = evaluated(net, x.output, leaf, SAMPLES)
            if y is None or not np.isfinite(y).all():
                continue
            for name, function in FUNCTIONS.items():
                expected = function(SAMPLES)
                scale = float(y @ expected / (expected @ expected))
                if scale and np.abs(y - scale * expected).max() <= 2e-6 * abs(scale):
                    scale = round(scale, 6) if abs(scale - round(scale, 6)) < 1e-7 else scale
                    return net.made(x, "sum", [leaf], {}, activation=name, scale=scale)
    return None


def norm(net: Rewriting, x: Operation) -> Operation | None:
    """Variance, deviation and layer norm out of what they are made of."""
    if x.kind == "reduce" and net.settings(x)["function"] == "mean":
        return _variance(net, x)
    if x.kind == "sum" and len(x.inputs) == 1 and dict(x.attributes) == {"activation": "sqrt"}:
        made = net.maker(x.inputs[0], "reduce")
        if made is not None and made.attributes["function"] == "variance":
            how = dict(made.attributes) | {"function": "deviation"}
            return net.made(x, "reduce", made.inputs, {}, **how)
    return _layer_norm(net, x) if x.kind == "product" and len(x.inputs) == 2 else None


def _less_mean(net: Rewriting, name: str, over: str, **function: str) -> str | None:
    """Of what a value is the difference from its own mean, or a function of that."""
    made = net.maker(name, "sum", once=False)
    if made is None or len(made.inputs) != 2 or dict(made.attributes) != {"minus": 1, **function}:
        return None
    mean = net.maker(made.inputs[1], "reduce", once=False)
    if mean is None or mean.inputs[0] != made.inputs[0]:
        return None
    how = {"function": "mean", "over": over}
    return made.inputs[0] if dict(mean.attributes) == how else None


def _variance(net: Rewriting, x: Operation) -> Operation | None:
    over = str(x.attributes["over"])
    source = _less_mean(net, x.inputs[0], over, activation="square")
    square = net.maker(x.inputs[0], "sum", once=False)
    if not source and square is not None and dict(square.attributes) == {"activation": "square"}:
        source = _less_mean(net, square.inputs[0], over) if len(square.inputs) == 1 else None
    return net.made(x, "reduce", [source], {}, function="variance", over=over) if source else None


def _layer_norm(net: Rewriting, x: Operation) -> Operation | None:
    numbers = np.array([0.0, 1e-6, 1e-3, 0.1, 1.0, 7.0])
    for difference, factor in (x.inputs, x.inputs[::-1]):
        source = _less_mean(net, difference, "channels")
        leaf = factor
        while (made := net.operations.get(leaf)) is not None and made.kind == "sum":
            leaf = made.inputs[0]
        how = {"function": "variance", "over": "channels"}
        if source is None or made is None or made.kind != "reduce" or dict(made.attributes) != how:
            continue
        if made.inputs[0] != source:
            continue
        with np.errstate(all="ignore"):
            y = evaluated(net, factor, leaf, numbers)
            if y is None or not np.isfinite(y).all() or y[0] <= 0:
                continue
            epsilon = float(y[0] ** -2)
            if np.allclose(y, 1 / np.sqrt(numbers + epsilon), rtol=1e-6):
                return net.made(x, "layer_norm", [source], {}, epsilon=epsilon)
    return None
