"""Integer expressions of a run's sizes, as JSON that Python and C++ evaluate alike.

A tree is an integer, a name, or [operation, tree, tree]. Every value, those in between too, lies in
0 to `MOST`; anything else is refused, so that neither language ever wraps around or rounds towards
another side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagen_fast.errors import WeightsError

MOST = 2**62
OPERATIONS = ("add", "sub", "mul", "div", "cdiv", "min", "max")

# int, str or [operation, Tree, Tree]
Tree = Any


@dataclass(frozen=True)
class Size:
    """An expression under construction; arithmetic with integers and others gives larger ones.

    What is written for a `Number` works on plain integers as well.
    """

    tree: Tree

    def __add__(self, other: Number) -> Size:
        return _combined("add", self, other)

    def __sub__(self, other: Number) -> Size:
        return _combined("sub", self, other)

    def __mul__(self, other: Number) -> Size:
        return _combined("mul", self, other)

    __radd__, __rmul__ = __add__, __mul__

    def __floordiv__(self, other: Number) -> Size:
        return _combined("div", self, other)


Number = Size | int


def cdiv(a: Number, b: Number) -> Number:
    """⌈a / b⌉."""
    return _of("cdiv", a, b)


def div(a: Number, b: Number) -> Number:
    """⌊a / b⌋."""
    return _of("div", a, b)


def least(a: Number, b: Number) -> Number:
    """The smaller one."""
    return _of("min", a, b)


def most(a: Number, b: Number) -> Number:
    """The larger one."""
    return _of("max", a, b)


def tree_of(value: Number) -> Tree:
    """For JSON."""
    return value.tree if isinstance(value, Size) else value


def evaluate(tree: Tree, values: Mapping[str, int]) -> int:
    """An expression's value, names standing for `values`.

    Raises:
        WeightsError: it is none, has an unknown name, or a value below 0 or above `MOST`.
    """
    if type(tree) is int:
        result = tree
    elif isinstance(tree, str):
        if tree not in values:
            raise WeightsError(f"the expression names {tree!r}, which nothing defines")
        result = values[tree]
    elif isinstance(tree, list) and len(tree) == 3 and tree[0] in OPERATIONS:
        result = _applied(tree[0], evaluate(tree[1], values), evaluate(tree[2], values))
    else:
        raise WeightsError(f"{str(tree)[:80]!r} is no expression")
    if not 0 <= result <= MOST:
        raise WeightsError(f"the expression {str(tree)[:80]} gives {result}; expected 0 to 2^62")
    return result


def _applied(operation: str, a: int, b: int) -> int:
    if operation in ("div", "cdiv"):
        if b == 0:
            raise WeightsError("an expression divides by 0")
        return a // b if operation == "div" else -(-a // b)
    if operation in ("min", "max"):
        return min(a, b) if operation == "min" else max(a, b)
    return a + b if operation == "add" else a - b if operation == "sub" else a * b


def _of(operation: str, a: Number, b: Number) -> Number:
    if isinstance(a, int) and isinstance(b, int):
        return _applied(operation, a, b)
    return _combined(operation, a, b)


def _combined(operation: str, a: Number, b: Number) -> Size:
    """Without what changes nothing."""
    x, y = tree_of(a), tree_of(b)
    if (operation, y) in (("add", 0), ("sub", 0), ("mul", 1), ("div", 1), ("cdiv", 1)):
        return Size(x)
    if (operation, x) in (("add", 0), ("mul", 1)):
        return Size(y)
    return Size([operation, x, y])
