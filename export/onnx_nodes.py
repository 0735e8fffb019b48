"""The nodes of an ONNX file under construction, its initializers, and arithmetic on sizes.

What can be computed now is computed now: a size is an int where the shape is fixed, and a name of
the file where it is not, so a file for a fixed shape holds no shape arithmetic at all.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from imagen_fast.errors import ExportError

# Known now, or the name of an int64 tensor of shape (1,).
Size = int | str


@dataclass(frozen=True, eq=False)
class Initializer:
    """A tensor of the file: `array`, which may be a view of another type, as `dtype`."""

    name: str
    array: NDArray[Any]
    dtype: np.dtype[Any]

    def proto(self) -> TensorProto:
        """As it lies in the file: little-endian, in C order."""
        data = np.ascontiguousarray(self.array, self.dtype.newbyteorder("<"))
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        return helper.make_tensor(self.name, kind, self.array.shape, data.tobytes(), raw=True)


@dataclass
class Nodes:
    """Nodes in order, each named after the operation that it belongs to.

    Attributes:
        current: the operation that is being written.
    """

    nodes: list[NodeProto] = field(default_factory=list)
    initializers: dict[str, Initializer] = field(default_factory=dict)
    current: str = ""
    _counts: dict[str, int] = field(default_factory=dict)
    _constants: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _made: dict[tuple[Any, ...], list[str]] = field(default_factory=dict)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Within it `name` is what is being written."""
        before, self.current = self.current, name
        yield
        self.current = before

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output, unless an equal one is there, and return the output."""
        (output,) = self.ops(kind, 1, *inputs, **attributes)
        return output

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with `count` outputs."""
        key = (kind, count, inputs, repr(attributes))
        if key in self._made:
            return self._made[key]
        start = f"{self.current}/{kind}" if self.current else kind
        number = self._counts[start] = self._counts.get(start, -1) + 1
        name = f"{start}_{number}" if number else start
        outputs = [name] if count == 1 else [f"{name}:{index}" for index in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        self._made[key] = outputs
        return outputs

    def weight(self, name: str, array: NDArray[Any], dtype: Any) -> str:
        """A tensor of the model. Raises ExportError if two forms of it would have one name."""
        found = self.initializers.setdefault(name, Initializer(name, array, np.dtype(dtype)))
        if (found.dtype, found.array.shape) != (np.dtype(dtype), array.shape):
            raise ExportError(f"tensor {name!r} is used in two forms; ONNX has one of each name")
        return name

    def constant(self, value: Any, dtype: Any) -> str:
        """A tensor of the file alone; equal ones are one."""
        array = np.asarray(value, dtype)
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"constant_{len(self._constants)}"
            self.weight(name, array, dtype)
        return self._constants[key]

    def add(self, a: Size, b: Size) -> Size:
        """`a` + `b`."""
        return self._computed("Add", a, b, operator.add)

    def sub(self, a: Size, b: Size) -> Size:
        """`a` - `b`."""
        return self._computed("Sub", a, b, operator.sub)

    def mul(self, a: Size, b: Size) -> Size:
        """`a` · `b`."""
        return self._computed("Mul", a, b, operator.mul)

    def div(self, a: Size, b: Size) -> Size:
        """⌊`a` / `b`⌋, neither being negative."""
        return self._computed("Div", a, b, operator.floordiv)

    def vector(self, *sizes: Size) -> str:
        """Sizes as one int64 tensor, such as Reshape takes."""
        parts: list[str] = []
        for known, group in groupby(sizes, lambda size: isinstance(size, int)):
            several = list(group)
            parts += [self.constant(several, np.int64)] if known else map(str, several)
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def crop(self, x: str, start: int, size: tuple[Size, Size], axis: int = 2) -> str:
        """The part that has this size and begins at (start, start), in `axis` and the next."""
        ends = self.vector(*(self.add(side, start) for side in size))
        return self.op("Slice", x, self.vector(start, start), ends, self.vector(axis, axis + 1))

    def finish(self, outputs: dict[str, str]) -> None:
        """Give these values, by name, the names of outputs, and drop what is not needed."""
        renamed: dict[str, str] = {}
        given = {name for node in self.nodes for name in node.output}
        for name, value in outputs.items():
            if value in given and value not in renamed:
                renamed[value] = name
            else:  # an input, or a second name
                node = helper.make_node("Identity", [value], [name], name=f"{name}/Identity")
                self.nodes.append(node)
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.initializers = {n: x for n, x in self.initializers.items() if n in needed}

    def _computed(self, kind: str, a: Size, b: Size, now: Callable[[int, int], int]) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return now(a, b)
        if b == {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}[kind]:
            return a
        return self.op(kind, self.vector(a), self.vector(b))
