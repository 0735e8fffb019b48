"""ncnn's layers that compute each number of its own, and what every layer is read by.

Parameters have numbers there, which are ncnn's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.graph.activations import UNLIMITED
from imagen_fast.importers.assembly import Array, Assembly
from imagen_fast.importers.ncnn_model import Layer, Weights

UNSET = -233
Blob = str | Array


@dataclass
class Call:
    """One layer with what it reads, and the weights from where its own begin."""

    a: Assembly
    layer: Layer
    inputs: list[Blob]
    weights: Weights

    @property
    def x(self) -> str:
        """The first input, computed of the picture."""
        return self.value(0)

    def value(self, place: int) -> str:
        """An input that is computed of the picture."""
        x = self.inputs[place]
        if not isinstance(x, str):
            raise OperationError("it reads a constant")
        return x

    def sides(self, across: int, down: int, default: int = 0) -> tuple[int, int]:
        """Down and across, of which the one is the other's default."""
        x = self.layer.whole(across, default)
        return self.layer.whole(down, x), x

    def activated(self, x: str) -> str:
        """With the activation that layers end with."""
        kind, given = self.layer.whole(9), self.layer.arrays.get(10, ())
        match kind:
            case 0:
                return x
            case 1:
                return self.a.function(x, "relu")
            case 2:
                return self.a.function(x, "leaky_relu", slope=given[0])
            case 3:
                return clipped(self.a, x, given[0], given[1])
            case 4:
                return self.a.function(x, "sigmoid")
            case 5:
                return self.a.function(x, "mish")
            case 6:
                return hard_swish(self.a, x, given[0], given[1])
        raise OperationError(f"its activation is {kind}")


def clipped(a: Assembly, x: str, low: float, high: float) -> str:
    """Numbers from low to high."""
    low, high = max(low, -UNLIMITED), min(high, UNLIMITED)
    return a.function(x, "clamp", low=low, high=high)


def hard_swish(a: Assembly, x: str, alpha: float, beta: float) -> str:
    """x · clamp(alpha · x + beta, 0, 1)."""
    return a.add("product", x, clipped(a, a.affine(x, alpha, beta), 0.0, 1.0))


def _function(name: str) -> Callable[[Call], list[Blob]]:
    return lambda call: [call.a.function(call.x, name)]


def _relu(call: Call) -> list[Blob]:
    slope = call.layer.number(0)
    how = {"slope": slope} if slope else {}
    return [call.a.function(call.x, "leaky_relu" if slope else "relu", **how)]


def _prelu(call: Call) -> list[Blob]:
    slopes = call.weights.plain(call.layer.whole(0))
    if len(slopes) == 1:
        return [call.a.function(call.x, "leaky_relu", slope=float(slopes[0]))]
    return [call.a.add("sum", call.x, activation="prelu", tensors={"slopes": slopes})]


def _gelu(call: Call) -> list[Blob]:
    return [call.a.function(call.x, "gelu_tanh" if call.layer.whole(0) else "gelu")]


def _hard(call: Call) -> list[Blob]:
    alpha, beta = call.layer.number(0, 0.2), call.layer.number(1, 0.5)
    if call.layer.kind == "HardSwish":
        return [hard_swish(call.a, call.x, alpha, beta)]
    return [clipped(call.a, call.a.affine(call.x, alpha, beta), 0.0, 1.0)]


def _clip(call: Call) -> list[Blob]:
    low, high = call.layer.number(0, -UNLIMITED), call.layer.number(1, UNLIMITED)
    return [clipped(call.a, call.x, low, high)]


UNARY = {
    0: "abs", 4: "square", 5: "sqrt", 7: "exp", 8: "log", 15: "reciprocal", 16: "tanh",
}  # fmt: skip


def _unary(call: Call) -> list[Blob]:
    kind = call.layer.whole(0)
    if kind == 1:
        return [call.a.affine(call.x, -1.0, 0.0)]
    if kind == 6:
        return [call.a.function(call.x, "power", exponent=-0.5)]
    if kind not in UNARY:
        raise OperationError(f"its function is {kind}")
    return [call.a.function(call.x, UNARY[kind])]


def _eltwise(call: Call) -> list[Blob]:
    kind, factors = call.layer.whole(0), call.layer.arrays.get(1, ())
    values = [call.value(i) for i in range(len(call.inputs))]
    if kind == 1:
        if factors:
            values = [call.a.affine(x, c, 0.0) for x, c in zip(values, factors, strict=True)]
        return [call.a.total(values)]
    if kind == 0:
        return [call.a.add("product", *values)]
    result = values[0]
    for x in values[1:]:
        result = call.a.maximum(result, x)
    return [result]


ADD, SUB, MUL, DIV, MAX, MIN, POW, RSUB, RDIV = range(9)


def _binary(call: Call) -> list[Blob]:
    kind, a = call.layer.whole(0), call.a
    if call.layer.whole(1):
        x, y = call.x, np.array([call.layer.number(2)])
    else:
        first, second = call.inputs
        if not isinstance(first, str) and isinstance(second, str):  # the constant comes first
            turned = {ADD: ADD, MUL: MUL, SUB: RSUB, DIV: RDIV, MAX: MAX, MIN: MIN}
            if kind not in turned:
                raise OperationError(f"operation {kind} of a constant and a value")
            kind, first, second = turned[kind], second, first
        x = first if isinstance(first, str) else call.x
        if isinstance(second, str):
            return [_of_two(a, kind, x, second)]
        y = second.ravel().astype(np.float64)
    return [_of_constant(a, kind, x, y)]


def _of_two(a: Assembly, kind: int, x: str, y: str) -> str:
    if kind in (RSUB, RDIV):
        kind, x, y = (SUB if kind == RSUB else DIV), y, x
    if kind == ADD:
        return a.total([x, y])
    if kind == SUB:
        return a.total([x, y], minus=1)
    if kind in (MUL, DIV):
        return a.add("product", x, a.function(y, "reciprocal") if kind == DIV else y)
    if kind in (MAX, MIN):
        return a.maximum(x, y, 1 if kind == MAX else -1)
    raise OperationError(f"its operation is {kind}")


def _of_constant(a: Assembly, kind: int, x: str, y: Array) -> str:
    match kind:
        case 0:
            return a.affine(x, 1.0, y)
        case 1:
            return a.affine(x, 1.0, -y)
        case 2:
            return a.affine(x, y, 0.0)
        case 3:
            return a.affine(x, 1 / y, 0.0)
        case 4 | 5 if y.size == 1:
            low, high = (y.item(), UNLIMITED) if kind == MAX else (-UNLIMITED, y.item())
            return clipped(a, x, low, high)
        case 6 if y.size == 1:
            return a.function(x, "power", exponent=y.item())
        case 7:
            return a.affine(x, -1.0, y)
        case 8:
            return a.affine(a.function(x, "reciprocal"), y, 0.0)
    raise OperationError(f"its operation is {kind}")


def _scale(call: Call) -> list[Blob]:
    size = call.layer.whole(0)
    if size == UNSET:
        return [call.a.add("product", call.x, call.value(1))]
    scale = call.weights.plain(size)
    bias = call.weights.plain(size) if call.layer.whole(1) else 0.0
    return [call.a.affine(call.x, scale, bias)]


def _batch_norm(call: Call) -> list[Blob]:
    count, epsilon = call.layer.whole(0), call.layer.number(1)
    slope, mean, variance, bias = (call.weights.plain(count).astype(np.float64) for _ in range(4))
    factor = slope / np.sqrt(variance + epsilon)
    return [call.a.affine(call.x, factor, bias - mean * factor)]


ARITHMETIC: dict[str, Callable[[Call], list[Blob]]] = {
    "ReLU": _relu,
    "PReLU": _prelu,
    "GELU": _gelu,
    "Clip": _clip,
    **dict.fromkeys(("HardSigmoid", "HardSwish"), _hard),
    **{name: _function(name.lower()) for name in ("Sigmoid", "TanH", "Mish", "Softplus", "Exp")},
    "Swish": _function("silu"),
    "AbsVal": _function("abs"),
    "ELU": lambda call: [call.a.function(call.x, "elu", slope=call.layer.number(0, 0.1))],
    "UnaryOp": _unary,
    "Eltwise": _eltwise,
    "BinaryOp": _binary,
    "Scale": _scale,
    "BatchNorm": _batch_norm,
}
