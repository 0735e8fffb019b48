"""A graph under rules that replace one operation by a better one, until none applies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import SpecError
from imagen_fast.graph.graph import Graph
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.operation import Operation, Value

Array = NDArray[Any]
Tensors = dict[str, Array]


class Rewriting:
    """Operations and weights, and who reads what.

    Weights are never changed, since another operation may read them too: a rule adds new ones, in
    float64, which are rounded at the end.
    """

    def __init__(self, graph: Graph, tensors: Mapping[str, Array]) -> None:
        self.graph, self.tensors = graph, dict(tensors)
        self.values: dict[str, Value] = dict(graph.values)
        self.operations = {x.output: x for x in graph.operations}
        self._readers = Counter(name for x in graph.operations for name in x.inputs)
        self._readers.update(x.value for x in graph.outputs.values())

    def maker(self, name: str, kind: str = "", once: bool = True) -> Operation | None:
        """What gives a value, if it is of this kind and, for `once`, nobody else reads it."""
        found = self.operations.get(name)
        if found is None or (kind and found.kind != kind):
            return None
        return found if not once or self._readers[name] == 1 else None

    def only_picture(self, name: str) -> bool:
        """Whether a value is handed out as a picture, and nobody else reads it."""
        found = [x.picture for x in self.graph.outputs.values() if x.value == name]
        return found == [True] and self._readers[name] == 1

    def settings(self, x: Operation) -> dict[str, Any]:
        """Its attributes, defaults included."""
        return KINDS[x.kind].settings(x)

    def tensor(self, x: Operation, role: str) -> Array | None:
        """One of its weights, in float64; None if it has none of this role."""
        return self.tensors[x.tensors[role]].astype(np.float64) if role in x.tensors else None

    def made(
        self,
        old: Operation,
        kind: str,
        inputs: Iterable[str],
        weights: Mapping[str, Any],
        **how: Any,
    ) -> Operation:
        """An operation in the place of another one.

        Args:
            weights: by role; an array is a new weight, a string the name of one that there is.
            how: attributes; those that are the kind's default are left out.
        """
        names = {}
        for role, array in weights.items():
            if array is None:
                continue
            if isinstance(array, str):
                names[role] = array
                continue
            names[role] = f"{old.output}.{role}"
            while names[role] in self.tensors:
                names[role] += "'"
            self.tensors[names[role]] = np.asarray(array, np.float64)
        defaults = {name: default for name, (_, default) in KINDS[kind].attributes.items()}
        how = {k: v for k, v in how.items() if v != defaults.get(k) or defaults.get(k) is None}
        return Operation(kind, old.output, tuple(inputs), names, how)

    def run(self, rules: Iterable[Callable[[Rewriting, Operation], Operation | None]]) -> None:
        """Apply the rules to every operation in turn until nothing changes."""
        rules = list(rules)
        changed = True
        while changed:
            changed = False
            for name in list(self.operations):
                for rule in rules:
                    old = self.operations.get(name)
                    if old is None:
                        break
                    new = rule(self, old)
                    if new is not None and self._replace(old, new):
                        changed = True

    def _replace(self, old: Operation, new: Operation) -> bool:
        read = [self.values[x] if x else None for x in new.inputs]
        try:
            if KINDS[new.kind].value(new, read) != self.values[old.output]:
                return False
        except SpecError:
            return False
        if not all(
            np.isfinite(_rounded(self.tensors[name])).all() for name in new.tensors.values()
        ):
            return False
        self.operations[old.output] = new
        self._readers.update(new.inputs)
        self._forget(old)
        return True

    def _forget(self, old: Operation) -> None:
        self._readers.subtract(old.inputs)
        for name in set(old.inputs):
            if not self._readers[name] and name in self.operations:
                self._forget(self.operations.pop(name))

    def result(self) -> tuple[Graph, Tensors]:
        """The graph now, and the weights that it names."""
        graph = Graph(self.graph.inputs, tuple(self.operations.values()), self.graph.outputs)
        return graph, {name: _rounded(self.tensors[name]) for name in graph.tensors}


def _rounded(weight: Array) -> Array:
    with np.errstate(over="ignore"):  # what overflows is not taken
        return np.ascontiguousarray(weight, np.float32)
