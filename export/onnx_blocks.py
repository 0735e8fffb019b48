"""What the nodes of every kind of operation are made of: sizes, weights, precisions, borders.

In fp16 weights and features are fp16; norms, softmax and pictures, until a convolution reads them,
are computed in float32, so that nothing overflows that the model's own features do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from imagen_fast.graph import Graph, Grid, Operation, Value
from imagen_fast.graph.activations import UNLIMITED
from imagen_fast.graph.kinds import KINDS

from .onnx_nodes import Nodes, Size
from .options import ExportOptions

TRANSPOSED = ".T"  # ends the name of a matrix that lies in the file transposed


@dataclass(frozen=True)
class Call:
    """An operation with what it reads.

    Attributes:
        operation: as the graph has it.
        a: its attributes, defaults included.
        read: names of what it reads in the file, "" for what is left out.
        values: of what it reads.
        result: of what it gives.
    """

    operation: Operation
    a: Mapping[str, Any]
    read: Sequence[str]
    values: Sequence[Value | None]
    result: Value

    def value(self, place: int) -> Value:
        """Channels and grid of what is read there."""
        value = self.values[place]
        assert value is not None
        return value

    def optional(self, place: int) -> str:
        """The name of what is read there, "" if nothing is."""
        return self.read[place] if place < len(self.read) else ""


class Blocks:
    """Appends nodes for one graph.

    Args:
        graph: none of its inputs is optional.
        tensors: the model's, of the shapes that the graph says.

    Attributes:
        attention: whether the opset has the operator Attention.
        batch: how many pictures there are.
    """

    def __init__(
        self, graph: Graph, options: ExportOptions, tensors: Mapping[str, NDArray[Any]]
    ) -> None:
        self.graph, self.options, self.tensors = graph, options, tensors
        self.nodes = Nodes()
        self.half, self.attention = options.precision == "fp16", options.opset >= 23
        self.batch: Size = options.batch or self._live(next(iter(graph.inputs)), 0)
        self._wide = set(graph.inputs)  # names of what is float32 where most is fp16

    def call(self, operation: Operation, names: Mapping[str, str]) -> Call:
        """An operation whose values have these names in the file."""
        values = self.graph.values
        return Call(
            operation,
            KINDS[operation.kind].settings(operation),
            [names[name] if name else "" for name in operation.inputs],
            [values[name] if name else None for name in operation.inputs],
            values[operation.output],
        )

    def size(self, grid: Grid) -> tuple[Size, Size]:
        """Height and width on a grid."""
        if not grid.of:
            return 1, 1
        first = 1 if self.options.io == "uint8" else 2  # axis of the height
        sides = self.options.shape or (self._live(grid.of, first), self._live(grid.of, first + 1))
        part, nodes = 2**grid.halvings, self.nodes
        found = []
        with nodes.scope("shape"):
            for side in sides:
                coarse = nodes.div(nodes.add(side, part - 1), part)
                found.append(nodes.add(nodes.mul(coarse, grid.factor), grid.around))
        return found[0], found[1]

    def tensor(
        self, call: Call, role: str, *, shape: tuple[int, ...] = (), wide: bool = False
    ) -> str:
        """A tensor of the operation, "" if it has none; float32 if it is to stay that."""
        name = call.operation.tensors.get(role, "")
        if not name:
            return ""
        array = self.tensors[name]
        array = array.reshape(shape) if shape else array
        return self.nodes.weight(name, array, np.float32 if wide else self._dtype)

    def matrix(self, call: Call, role: str) -> str:
        """A matrix (outputs, inputs) of the operation, transposed as MatMul takes it."""
        name = call.operation.tensors[role]
        return self.nodes.weight(name + TRANSPOSED, self.tensors[name].T, self._dtype)

    def number(self, value: float, like: str) -> str:
        """A constant of the precision of a value."""
        dtype = np.float32 if like in self._wide else self._dtype
        return self.nodes.constant(value, dtype)

    def wide(self, x: str) -> str:
        """Says that a node computes in float32."""
        self._wide.add(x)
        return x

    def widen(self, x: str) -> str:
        """To float32."""
        if not self.half or x in self._wide:
            return x
        return self.wide(self.nodes.op("Cast", x, to=TensorProto.FLOAT))

    def narrow(self, x: str) -> str:
        """To the precision of features."""
        if not self.half or x not in self._wide:
            return x
        return self.nodes.op("Cast", x, to=TensorProto.FLOAT16)

    def moved(self, kind: str, *values: str, more: Sequence[str] = (), **attributes: Any) -> str:
        """A node whose result is of its values' precision: float32 if one of them is.

        more: its other inputs.
        """
        wide = any(x in self._wide for x in values)
        given = [self.widen(x) for x in values] if wide else values
        result = self.nodes.op(kind, *given, *more, **attributes)
        return self.wide(result) if wide else result

    def in_float32(self, kind: str, x: str, *more: str, **attributes: Any) -> str:
        """A node that computes in float32 whatever x is; the result is float32."""
        return self.wide(self.nodes.op(kind, self.widen(x), *more, **attributes))

    def plus(self, x: str, others: Iterable[str]) -> str:
        """The sum, of the precision of features; "" is nothing."""
        for other in others:
            if other:
                x = self.nodes.op("Add", self.narrow(x), self.narrow(other))
        return x

    def scaled(self, x: str, factor: float) -> str:
        """x · factor."""
        return x if factor == 1 else self.moved("Mul", x, more=[self.number(factor, x)])

    def activated(self, x: str, call: Call) -> str:
        """The activation or function that the attributes name."""
        a, word = call.a, call.a["activation"]
        match word:
            case "none":
                return x
            case "silu":
                return self.moved("Mul", x, self.moved("Sigmoid", x))
            case "square":
                return self.moved("Mul", x, x)
            case "prelu":
                slopes = self.tensor(call, "slopes", shape=(-1, 1, 1), wide=x in self._wide)
                return self.moved("PRelu", x, more=[slopes])
            case "leaky_relu" | "elu":
                return self.moved(OPERATORS[word], x, alpha=a["slope"])
            case "gelu_tanh":
                return self.moved("Gelu", x, approximate="tanh")
            case "power":
                return self.moved("Pow", x, more=[self.number(a["exponent"], x)])
            case "clamp":
                ends = [
                    "" if abs(a[end]) >= UNLIMITED else self.number(a[end], x)
                    for end in ("low", "high")
                ]
                return self.moved("Clip", x, more=ends)
            case _:
                return self.moved(OPERATORS[word], x)

    def extended(self, x: str, border: str, before: int, after: Sequence[Size], grid: Grid) -> str:
        """`before` pixels more above and left of x, which lies on a grid, `after` at its ends."""
        nodes = self.nodes
        if before == 0 and all(end == 0 for end in after):
            return x
        if border != "reflect":
            pads = nodes.vector(0, 0, before, before, 0, 0, *after)
            return self.moved("Pad", x, more=[pads], mode=PAD_MODES[border])
        for axis, (size, end) in enumerate(zip(self.size(grid), after, strict=True), start=2):
            x = self.moved("Gather", x, more=[self._mirrored(size, before, end)], axis=axis)
        return x

    def _mirrored(self, size: Size, before: int, end: Size) -> str:
        """Which pixels of a side lie where it is mirrored at its ends, again and again."""
        nodes = self.nodes
        if isinstance(size, int) and isinstance(end, int):
            known = max(1, 2 * (size - 1))
            pixels = np.arange(-before, size + end) % known
            return nodes.constant(np.minimum(pixels, known - pixels), np.int64)
        one = nodes.constant([1], np.int64)
        period = nodes.op("Max", nodes.vector(nodes.mul(nodes.sub(size, 1), 2)), one)
        start, step = (nodes.constant(number, np.int64) for number in (-before, 1))
        stop = nodes.op("Squeeze", nodes.vector(nodes.add(size, end)))
        places = nodes.op("Mod", nodes.op("Range", start, stop, step), period)
        return nodes.op("Min", places, nodes.op("Sub", period, places))

    def _live(self, name: str, axis: int) -> Size:
        with self.nodes.scope("shape"):
            return self.nodes.op("Shape", name, start=axis, end=axis + 1)

    @property
    def _dtype(self) -> Any:
        return np.float16 if self.half else np.float32


PAD_MODES = {"zero": "constant", "edge": "edge"}
OPERATORS = {
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "sigmoid": "Sigmoid",
    "gelu": "Gelu",
    "mish": "Mish",
    "tanh": "Tanh",
    "hard_swish": "HardSwish",
    "elu": "Elu",
    "softplus": "Softplus",
    "abs": "Abs",
    "sqrt": "Sqrt",
    "reciprocal": "Reciprocal",
    "exp": "Exp",
    "log": "Log",
    "erf": "Erf",
}
