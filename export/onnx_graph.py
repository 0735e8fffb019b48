"""An ONNX graph under construction: nodes, initializers, and arithmetic on sizes.

What can be computed now is computed now: a size is an int where the shape is fixed, and a name of
the graph where it is not, so a graph for a fixed shape holds no shape arithmetic at all.
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

# Known now, or the name of an int64 tensor of shape (1,).
Size = int | str


@dataclass(frozen=True, eq=False)
class Initializer:
    """A tensor of the file. `array` may be a view of any type: it is converted when it is written.

    A weight's shape in the file is `array`'s.
    """

    name: str
    array: NDArray[Any]
    dtype: np.dtype[Any]

    def proto(self) -> TensorProto:
        """As it lies in the file."""
        data = np.ascontiguousarray(self.array, self.dtype)
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        # Little-endian, as ONNX asks for.
        raw = data.astype(self.dtype.newbyteorder("<"), copy=False).tobytes()
        return helper.make_tensor(self.name, kind, self.array.shape, raw, raw=True)


@dataclass
class Graph:
    """Nodes in order, each named after the part of the network that it belongs to."""

    nodes: list[NodeProto] = field(default_factory=list)
    initializers: dict[str, Initializer] = field(default_factory=dict)
    _scope: str = ""
    _counts: dict[str, int] = field(default_factory=dict)
    _constants: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _sizes: dict[tuple[str, Size, Size], Size] = field(default_factory=dict)
    _vectors: dict[tuple[Size, ...], str] = field(default_factory=dict)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Within it, nodes are called `name/...`."""
        before, self._scope = self._scope, name
        yield
        self._scope = before

    @property
    def current(self) -> str:
        """The scope's name."""
        return self._scope

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output, and return that output's name."""
        (output,) = self.ops(kind, 1, *inputs, **attributes)
        return output

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with `count` outputs."""
        name = self._name(kind)
        outputs = [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return outputs

    def weight(self, name: str, array: NDArray[Any], dtype: Any) -> str:
        """A tensor of the model under its own name."""
        self.initializers[name] = Initializer(name, array, np.dtype(dtype))
        return name

    def constant(self, value: Any, dtype: Any) -> str:
        """Any other tensor; equal ones are one."""
        array = np.asarray(value, dtype)
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = self.weight(name, array, dtype)
        return self._constants[key]

    def add(self, a: Size, b: Size) -> Size:
        """A + b."""
        return self._computed("Add", a, b, operator.add)

    def sub(self, a: Size, b: Size) -> Size:
        """A - b."""
        return self._computed("Sub", a, b, operator.sub)

    def mul(self, a: Size, b: Size) -> Size:
        """A · b."""
        return self._computed("Mul", a, b, operator.mul)

    def div(self, a: Size, b: Size) -> Size:
        """⌊a / b⌋ of sizes that are not negative."""
        return self._computed("Div", a, b, operator.floordiv)

    def vector(self, *sizes: Size) -> str:
        """Sizes as one int64 tensor, such as Reshape takes."""
        if sizes not in self._vectors:
            parts: list[str] = []
            for known, group in groupby(sizes, lambda size: isinstance(size, int)):
                several = list(group)
                parts += [self.constant(several, np.int64)] if known else map(str, several)
            self._vectors[sizes] = parts[0] if len(parts) == 1 else self._joined(parts)
        return self._vectors[sizes]

    def crop(self, x: str, start: int, size: tuple[Size, Size]) -> str:
        """The part of (N, C, H, W) that has this size and begins at (start, start)."""
        ends = (self.add(side, start) for side in size)
        return self.op("Slice", x, self.vector(start, start), self.vector(*ends), self.vector(2, 3))

    def _joined(self, parts: list[str]) -> str:
        return self.op("Concat", *parts, axis=0)

    def _computed(self, kind: str, a: Size, b: Size, now: Callable[[int, int], int]) -> Size:
        if isinstance(a, int) and isinstance(b, int):
            return now(a, b)
        neutral = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}[kind]
        if b == neutral:
            return a
        key = (kind, a, b)
        if key not in self._sizes:
            self._sizes[key] = self.op(kind, self.vector(a), self.vector(b))
        return self._sizes[key]

    def _name(self, kind: str) -> str:
        start = f"{self._scope}/{kind}" if self._scope else kind
        count = self._counts[start] = self._counts.get(start, -1) + 1
        return f"{start}_{count}" if count else start
