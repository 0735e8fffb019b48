"""ONNX operators one after the other, at one size of picture, as operations of ours.

Sizes of pictures are numbers here, so whatever is computed of them is a constant. That the same
graph results at other sizes is checked by `onnx_door`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.importers import layout
from imagen_fast.importers.assembly import Array, Assembly, located
from imagen_fast.importers.layout import Part, View
from imagen_fast.importers.onnx_constants import computed
from imagen_fast.importers.onnx_model import Node, OnnxModel

Operand = View | Array


@dataclass
class Call:
    """One node with what it reads."""

    node: Node
    inputs: list[Operand | None]
    trace: Trace

    @property
    def a(self) -> Assembly:
        """Where operations go."""
        return self.trace.a

    def view(self, place: int = 0) -> View:
        """An input that is computed of the picture."""
        x = self.given(place)
        if not isinstance(x, View):
            raise OperationError(f"its input {place} is a constant")
        return x

    def standard(self, place: int = 0) -> View:
        """An input as (1, C, H, W)."""
        return layout.standard(self.a, self.view(place))

    def given(self, place: int) -> Operand:
        """An input that must be there."""
        x = self.inputs[place] if place < len(self.inputs) else None
        if x is None:
            raise OperationError(f"its input {place} is missing")
        return x

    def constant(self, place: int) -> Array | None:
        """An input that must be constant, if it is there."""
        x = self.inputs[place] if place < len(self.inputs) else None
        if isinstance(x, View):
            raise OperationError(f"its input {place} is computed of the picture")
        return x

    def needed(self, place: int) -> Array:
        """An input that must be there and constant."""
        x = self.constant(place)
        if x is None:
            raise OperationError(f"its input {place} is missing")
        return x

    def numbers(self, name: str, place: int | None = None) -> list[int] | None:
        """Whole numbers, of an attribute or, in later opsets, an input; None for neither."""
        if name in self.node.attributes:
            return [int(x) for x in self.node.attributes[name]]
        x = None if place is None else self.constant(place)
        return None if x is None else [int(i) for i in x.ravel()]

    def attribute(self, name: str, default: Any) -> Any:
        """As the file says it, or the default."""
        return self.node.attributes.get(name, default)

    def picture(self, name: str) -> View:
        """(1, C, H, W) of a value of ours."""
        return self.trace.whole(name)


Operator = Callable[[Call], "View | Array | list[View]"]


class Trace:
    """A graph at one size.

    Args:
        size: height and width of the picture as the network sees it, margins included.
    """

    def __init__(
        self, model: OnnxModel, operators: dict[str, Operator], a: Assembly, size: tuple[int, int]
    ) -> None:
        self.model, self.a = model, a
        margin = a.values[a.start].grid.around
        a.size = (size[0] - margin, size[1] - margin)
        self.values: dict[str, Operand] = dict(model.weights)
        start = self.whole(a.start)
        if is_channels_last(model.shape):
            start = layout.transposed(start, [0, 2, 3, 1])
        self.values[model.image] = start
        self._operators = operators

    def whole(self, name: str) -> View:
        """(1, C, H, W) of a value of ours."""
        value = self.a.values[name]
        return layout.whole(name, value.channels, *value.grid.size(*self.a.size))

    def output(self) -> str:
        """The value of ours that the graph's first output is, after all nodes.

        Raises:
            OperationError: a node is none of ours, or does not fit; names and places it.
            SpecError: sizes do not fit, at this margin.
        """
        for place, node in enumerate(self.model.nodes):
            where = f"operation {place} ({node.kind}, {node.name[:80]!r})"
            with located(where):
                self._run(node)
        result = self.values.get(self.model.output)
        if not isinstance(result, View):
            raise OperationError("the output is not computed of the picture")
        result = layout.filled(self.a, result)
        if len(result.dims) == 4 and _is_channels(result, 3) and not _is_channels(result, 1):
            result = layout.transposed(result, [0, 3, 1, 2])
        return layout.standard(self.a, result).name

    def _run(self, node: Node) -> None:
        inputs: list[Operand | None] = []
        for name in node.inputs:
            if name and name not in self.values:
                raise OperationError(f"it reads {name[:80]!r}, which nothing before it gives")
            inputs.append(self.values[name] if name else None)
        results: Any
        if node.kind == "Constant":
            results = [_constant(node)]
        elif node.kind in ("Shape", "Size") and isinstance(inputs[0], View):
            shape = inputs[0].shape
            start, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
            sides = np.array(shape[start:end], np.int64)
            results = [sides if node.kind == "Shape" else sides.prod()]
        elif not any(isinstance(x, View) for x in inputs):
            results = computed(node, inputs, self.model.opset)  # type: ignore[arg-type]
        elif node.kind in self._operators:
            results = self._operators[node.kind](Call(node, inputs, self))
            results = results if isinstance(results, list) else [results]
        else:
            raise OperationError("the engine has no such operation")
        for name, result in zip(node.outputs, results, strict=False):
            if name in self.values:
                raise OperationError(f"{name[:80]!r} is computed twice")
            self.values[name] = result


def is_channels_last(shape: tuple[int | None, ...]) -> bool:
    """Whether a picture of this shape has its channels at the end."""
    return shape[3] in (1, 3) and shape[1] not in (1, 3)


def _is_channels(x: View, place: int) -> bool:
    return bool(x.dims[place]) and all(part.axis == "C" for part in x.dims[place])


def _constant(node: Node) -> Array:
    for name in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if name in node.attributes:
            value = node.attributes[name]
            if isinstance(value, np.ndarray):
                return value
            return np.array(value, np.float32 if "float" in name else np.int64)
    raise OperationError("a constant of no kind that is known")


def through(call: Call, x: View, step: Callable[[str], str]) -> View:
    """What computes each number of its own, in whatever order they lie."""
    x = layout.ready(call.a, x)
    return replace(x, name=step(x.name))


def per_channel(call: Call, x: View, constant: Array) -> tuple[View, Array]:
    """A constant as one number, or one for each of our channels, with the view to apply it to.

    Raises:
        OperationError: it differs from pixel to pixel.
    """
    x = layout.ready(call.a, x)
    shape = constant.shape
    while len(shape) > len(x.dims) and shape[0] == 1:
        shape = shape[1:]
    if len(shape) > len(x.dims):
        raise OperationError(f"a constant of shape {constant.shape} with a tensor of {x.shape}")
    shape = (1,) * (len(x.dims) - len(shape)) + shape
    large = [place for place, side in enumerate(shape) if side > 1]
    if not large:
        return x, constant.reshape(1).astype(np.float64)
    if constant.min() == constant.max() and all(shape[i] in (1, x.shape[i]) for i in large):
        return x, constant.ravel()[:1].astype(np.float64)
    channels = call.a.channels(x.name)
    dim = () if layout.is_repeated(x.dims[large[0]]) else x.dims[large[0]]
    if len(large) == 1 and all(part.axis == "C" for part in dim):
        numbers = constant.ravel().astype(np.float64)
        if not dim and channels == 1 and large[0] == len(x.dims) - 3:
            dims = list(x.dims)
            dims[large[0]] = (Part("C", len(numbers)),)
            return replace(x, dims=tuple(dims)), numbers
        order = layout.channel_indices(dim)
        if len(order) == channels == len(numbers):
            ordered = np.empty(channels)
            ordered[order] = numbers
            return x, ordered
    raise OperationError(f"a constant of shape {constant.shape} that differs between pixels")
