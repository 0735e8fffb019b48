"""A network as data: the list of operations that every engine reads."""

from imagen_fast.graph.graph import Graph, Input, Output
from imagen_fast.graph.grid import Grid
from imagen_fast.graph.network import network
from imagen_fast.graph.operation import Operation, Value

__all__ = ["Graph", "Grid", "Input", "Operation", "Output", "Value", "network"]
