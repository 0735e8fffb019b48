"""Writing a graph down, one operation after the other."""

from __future__ import annotations

from imagen_fast.graph.graph import Graph, Input, Output
from imagen_fast.graph.operation import Attribute, Operation


class Builder:
    """Collects inputs, operations and outputs; `graph` makes them one."""

    def __init__(self) -> None:
        self.inputs: dict[str, Input] = {}
        self.outputs: dict[str, Output] = {}
        self._operations: list[Operation] = []

    def add(
        self,
        kind: str,
        output: str,
        *inputs: str,
        tensors: dict[str, str] | None = None,
        **attributes: Attribute,
    ) -> str:
        """An operation; returns the name of its result."""
        self._operations.append(Operation(kind, output, inputs, tensors or {}, attributes))
        return output

    def convolution(
        self, kind: str, output: str, *inputs: str, module: str, **attributes: Attribute
    ) -> str:
        """One whose tensors are those of the PyTorch module of this name."""
        tensors = {"weight": f"{module}.weight", "bias": f"{module}.bias"}
        return self.add(kind, output, *inputs, tensors=tensors, **attributes)

    def graph(self) -> Graph:
        """All of it. Raises SpecError."""
        return Graph(self.inputs, tuple(self._operations), self.outputs)
