"""A graph as launches over memory that is planned: for one shape in numbers, or for any shape.

Names in expressions: N is the number of images, H0 and W0 the first input's height and width, H1
and W1 the second's, and so on; P is the GPU's multiprocessors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imagen_fast.errors import OperationError
from imagen_fast.graph.graph import MAX_INPUTS, Graph
from imagen_fast.graph.kinds import KINDS as GRAPH_KINDS
from imagen_fast.graph.operation import Operation

from .elementwise import between_samples_and_features
from .kinds import ROWS, launches_of
from .launch import DTYPES, Array, Launch
from .size import Number, Size, cdiv, evaluate, most, tree_of
from .step import Step

# By which it is seen what is the larger size.
USUAL = {"N": 1, "P": 132} | {f"{x}{i}": 1024 for x in "HW" for i in range(MAX_INPUTS)}


def open_sizes(graph: Graph) -> dict[str, tuple[Number, Number, Number]]:
    """N, height and width of every input, as expressions."""
    return {
        name: (Size("N"), Size(f"H{number}"), Size(f"W{number}"))
        for number, name in enumerate(graph.inputs)
    }


@dataclass
class Buffer:
    """Memory of a run.

    Attributes:
        kind: of its elements, a name of `launch.DTYPES`.
        sizes: the largest of them is how many elements there are.
    """

    kind: str
    sizes: list[Number]

    @property
    def elements(self) -> Number:
        """How many there are."""
        largest, *others = self.sizes
        for size in others:
            largest = most(largest, size)
        return largest

    @property
    def usual(self) -> int:
        """How many there are for a picture of usual size."""
        return max(map(_usual, self.sizes))


@dataclass
class Program:
    """Launches in order, and the buffers that they work in.

    Attributes:
        buffers: those of inputs and outputs first, in this order, then the flag; arrays say theirs
            by number.
        inputs, outputs: by name.
        flag: (1,) int32 that becomes 1 if an output is not finite; to be cleared before.
    """

    buffers: list[Buffer] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    inputs: dict[str, Array] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)
    flag: Array = field(default_factory=lambda: Array(-1, "i32"))

    @property
    def work(self) -> range:
        """Numbers of the buffers that hold what one run computes on its way."""
        return range(len(self.inputs) + len(self.outputs) + 1, len(self.buffers))

    def run(self, memory: Mapping[int | str, Tensor]) -> None:
        """All launches, on the buffers by number and the packed tensors by name."""
        for launch in self.launches:
            launch.run(memory)


class Weights:
    """A model's tensors, and what kernels read in their place, packed when it is first needed.

    Args:
        tensors: by name, float32 or float16.
        kind: of features and matrices, a name of `launch.DTYPES`.
        device: where packed tensors go.
    """

    def __init__(self, tensors: Mapping[str, Any], kind: str, device: torch.device | str) -> None:
        self.tensors, self.kind, self.device = tensors, kind, device
        self.packed: dict[str, Tensor] = {}
        self._arrays: dict[str, dict[str, Array]] = {}

    def of(self, operation: Operation) -> dict[str, Tensor]:
        """An operation's tensors by role, float32."""
        return {
            role: torch.from_numpy(np.require(self.tensors[name], np.float32, ["C", "W"]))
            for role, name in operation.tensors.items()
        }

    def pack(self, operation: Operation, make: Callable[[], dict[str, Tensor]]) -> dict[str, Array]:
        """What `make` gives, kept under the operation's name: vectors in fp32."""
        if operation.output not in self._arrays:
            arrays = self._arrays[operation.output] = {}
            for part, value in make().items():
                kind = "fp32" if value.ndim == 1 else self.kind
                name = f"{operation.output}.{part}"
                self.packed[name] = value.to(self.device, DTYPES[kind]).contiguous()
                arrays[part] = Array(name, kind)
        return self._arrays[operation.output]


@dataclass(frozen=True)
class Target:
    """What a program is for.

    Attributes:
        arch: of the GPU, as 90 for sm_90.
        processors: its multiprocessors.
        samples: "u8" if pictures come and go in bytes, else "fp32".
        inner: whether what comes and goes beside pictures is features, as within a larger graph,
            and else float32.
    """

    arch: int
    processors: Number
    samples: str
    inner: bool = False


def program_of(
    graph: Graph,
    weights: Weights,
    sizes: Mapping[str, tuple[Number, Number, Number]],
    target: Target,
) -> Program:
    """The launches that give a graph's outputs.

    Args:
        graph: without optional inputs, and without operations that no output needs.
        sizes: N, height and width of every input that has a size of its own; others do not count.

    Raises:
        OperationError: there is no kernel for one of the operations, which it names.
    """
    return _Builder(graph, weights, sizes, target).whole()


def check_kinds(graph: Graph) -> None:
    """Raise OperationError if there is no kernel for one of the operations at all."""
    for operation in graph.operations:
        if operation.kind not in ROWS:
            raise OperationError(
                f"backend 'triton' has no kernel for operation {operation.output!r} "
                f"({operation.kind}): expected {', '.join(ROWS)}; choose backend native or eager"
            )


class _Builder:
    """Walks the operations; a value's memory is free again after the last operation that reads it.

    Nothing is written where an operation still reads.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Weights,
        sizes: Mapping[str, tuple[Number, Number, Number]],
        target: Target,
    ) -> None:
        self.graph, self.weights, self.sizes, self.target = graph, weights, sizes, target
        self.program = Program()
        self.free: list[int] = []
        self.values: dict[str, Array] = {}
        self.converted: dict[str, Array] = {}  # inputs as features
        self.scratch: list[Array] = []  # of the operation at hand
        self.readers = dict.fromkeys(graph.values, 0)
        for operation in graph.operations:
            for name in set(operation.inputs) - {""}:
                self.readers[name] += 1

    def whole(self) -> Program:
        check_kinds(self.graph)
        program, graph = self.program, self.graph
        for name, x in graph.inputs.items():
            kind = self.comes_as(x.picture)
            self.values[name] = program.inputs[name] = self.made(kind, name)
        for name, output in graph.outputs.items():
            program.outputs[name] = self.made(self.comes_as(output.picture), output.value)
        program.buffers.append(Buffer("i32", [1]))
        program.flag = Array(len(program.buffers) - 1, "i32")
        for operation in graph.operations:
            self.step(operation)
        for name, output in graph.outputs.items():
            if output.value in graph.inputs:
                self.hand_out(name)
        return program

    def comes_as(self, picture: bool) -> str:
        """The kind of an input's elements, or of an output's."""
        other = self.weights.kind if self.target.inner else "fp32"
        return self.target.samples if picture else other

    def made(self, kind: str, value: str) -> Array:
        """A buffer of its own, for an array like a value."""
        shape = self.shape(value)
        self.program.buffers.append(Buffer(kind, [_product(shape)]))
        return Array(len(self.program.buffers) - 1, kind, shape)

    def shape(self, value: str) -> tuple[Number, ...]:
        found = self.graph.values[value]
        if not found.grid.of:  # of the whole picture
            n, *_ = next(iter(self.sizes.values()))
            return n, 1, 1, found.channels
        n, h, w = self.sizes[found.grid.of]
        part, factor, around = 2**found.grid.halvings, found.grid.factor, found.grid.around
        h, w = (cdiv(side, part) * factor + around for side in (h, w))
        return n, h, w, found.channels

    def step(self, operation: Operation) -> None:
        wanted = [n for n, x in self.graph.outputs.items() if x.value == operation.output]
        step = self.prepared(operation)
        row = ROWS[operation.kind]
        picture = bool(wanted) and self.graph.outputs[wanted[0]].picture
        features = self.target.inner and not picture
        alone = len(wanted) == 1 and not self.readers[operation.output]
        if alone and (features or row.stores_samples(step)):
            out, flag = self.program.outputs[wanted[0]], None if features else self.program.flag
            step = replace(step, out=out, flag=flag, clamp=picture)
            wanted = []
        else:
            out = self.take(self.shape(operation.output))
            step = replace(step, out=out)
            self.values[operation.output] = out
        launches = launches_of(step)
        self.program.launches += launches
        for name in wanted:
            self.hand_out(name)
        for array in self.scratch:
            self.give_back(array)
        self.scratch.clear()
        for name in set(operation.inputs) - {""}:
            self.readers[name] -= 1
        self.give_back_read({*operation.inputs, operation.output} - {""})

    def prepared(self, operation: Operation) -> Step:
        return Step(
            operation=operation,
            settings=GRAPH_KINDS[operation.kind].settings(operation),
            tensors=self.weights.of(operation),
            read=tuple(self.values[name] if name else None for name in operation.inputs),
            out=Array(-1, self.weights.kind, self.shape(operation.output)),
            flag=None,
            clamp=False,
            kind=self.weights.kind,
            arch=self.target.arch,
            processors=self.target.processors,
            converted=lambda place: self.features(operation.inputs[place]),
            packing=partial(self.weights.pack, operation),
            scratch=self.take_scratch,
        )

    def features(self, name: str) -> Array:
        """An input as features, converted when the first operation asks for it."""
        if name not in self.converted:
            out = self.take(self.shape(name))
            self.program.launches.append(between_samples_and_features(self.values[name], out))
            self.converted[name] = out
        return self.converted[name]

    def hand_out(self, name: str) -> None:
        """A value to where it leaves the network."""
        output = self.graph.outputs[name]
        self.program.launches.append(
            between_samples_and_features(
                self.values[output.value],
                self.program.outputs[name],
                self.program.flag,
                output.picture,
            )
        )

    def take(self, shape: tuple[Number, ...], kind: str = "") -> Array:
        """A free buffer that is large enough, or the largest free one made larger, or a new one; of
        features unless a kind is given.
        """
        elements, buffers, kind = _product(shape), self.program.buffers, kind or self.weights.kind
        free = [i for i in self.free if buffers[i].kind == kind]
        free.sort(key=lambda i: buffers[i].usual)
        fitting = [i for i in free if buffers[i].usual >= _usual(elements)]
        if not free:
            buffers.append(Buffer(kind, [elements]))
            return Array(len(buffers) - 1, kind, shape)
        number = fitting[0] if fitting else free[-1]
        self.free.remove(number)
        if elements not in buffers[number].sizes:
            buffers[number].sizes.append(elements)
        return Array(number, kind, shape)

    def take_scratch(self, shape: tuple[Number, ...], kind: str = "") -> Array:
        array = self.take(shape, kind)
        self.scratch.append(array)
        return array

    def give_back(self, array: Array) -> None:
        assert isinstance(array.of, int)
        self.free.append(array.of)

    def give_back_read(self, names: Iterable[str]) -> None:
        """The memory of values that no later operation reads."""
        for name in sorted(names):
            if self.readers[name]:
                continue
            if name in self.converted:
                self.give_back(self.converted.pop(name))
            elif name in self.values and name not in self.graph.inputs:
                self.give_back(self.values.pop(name))


def _product(sizes: Iterable[Number]) -> Number:
    total: Number = 1
    for size in sizes:
        total = size * total
    return total


def _usual(size: Number) -> int:
    return evaluate(tree_of(size), USUAL)
