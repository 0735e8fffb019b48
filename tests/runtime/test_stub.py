"""_native.pyi says what the extension module has: names, parameters, defaults, results."""

import ast
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import imagen_fast

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

STUB = ast.parse((Path(imagen_fast.__file__).parent / "_native.pyi").read_text("utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}

# What pybind11 writes for a type, and the stub's word for it.
TYPES = {
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "imagen_fast._native.Engine": "Engine",
    "numpy.ndarray": "NDArray[Any]",
    "collections.abc.Sequence": "Sequence",
    "collections.abc.Mapping": "Mapping",
}
# Where the stub says more than pybind11 knows.
CLOSER = {
    "dict": "dict[str, NDArray[Any]]",
    "object": "dict[str, NDArray[Any]] | None",
    "tuple": "tuple[dict[str, str], dict[str, list[int]]]",
}


def stubs(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def written_by_pybind11(function: Callable[..., Any]) -> ast.FunctionDef:
    """The signature in the first line of a function's documentation."""
    assert function.__doc__ is not None
    line = function.__doc__.splitlines()[0]
    for theirs, ours in TYPES.items():
        line = line.replace(theirs, ours)
    # How long a sequence has to be is no part of a type.
    line = re.sub(r'typing\.Annotated\[(.*?), "FixedSize\(\d+\)"\]', r"\1", line)
    line = re.sub(r"\b(dict|tuple|object)\b(?!\[)", lambda match: CLOSER[match[1]], line)
    (parsed,) = ast.parse(f"def {line}: ...").body
    assert isinstance(parsed, ast.FunctionDef)
    return parsed


def parameters(function: ast.FunctionDef) -> list[tuple[str, str, str | None, str | None]]:
    """Kind, name ("" where it has none), type and default of each but `self`."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    pairs = [*zip(positional, defaults, strict=True),
             *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]  # fmt: skip
    found = []
    for argument, default in pairs:
        nameless = argument in arguments.posonlyargs or re.fullmatch(r"arg\d", argument.arg)
        kind = "keyword" if argument in arguments.kwonlyargs else "positional"
        if argument.arg != "self":
            value = None if default is None else ast.unparse(default).replace("[]", "()")
            type_ = None if argument.annotation is None else ast.unparse(argument.annotation)
            found.append((kind, "" if nameless else argument.arg, type_, value))
    return found


def check(stub: ast.FunctionDef, function: Callable[..., Any]) -> None:
    real = written_by_pybind11(function)
    assert parameters(stub) == parameters(real)
    assert stub.returns is not None
    assert real.returns is not None
    assert ast.unparse(stub.returns) == ast.unparse(real.returns)


def public(thing: object) -> set[str]:
    return {name for name in vars(thing) if not name.startswith("_")}


def properties(name: str) -> dict[str, ast.AnnAssign]:
    body = CLASSES[name].body
    return {ast.unparse(node.target): node for node in body if isinstance(node, ast.AnnAssign)}


def members(named: Callable[[str], Iterable[str]]) -> list[tuple[str, str]]:
    return [(name, member) for name in CLASSES for member in named(name)]


def test_the_module_has_what_the_stub_says_and_nothing_else() -> None:
    assert public(_native) == {*CLASSES, *stubs(STUB.body)}
    for name, node in CLASSES.items():
        said = {*stubs(node.body), *properties(name)} - {"__init__"}
        assert public(getattr(_native, name)) == said


@pytest.mark.parametrize("name", stubs(STUB.body))
def test_functions(name: str) -> None:
    check(stubs(STUB.body)[name], getattr(_native, name))


@pytest.mark.parametrize(("name", "method"), members(lambda name: stubs(CLASSES[name].body)))
def test_methods(name: str, method: str) -> None:
    stub, real = stubs(CLASSES[name].body)[method], getattr(_native, name)
    check(stub, getattr(real, method))
    static = [ast.unparse(decorator) for decorator in stub.decorator_list] == ["staticmethod"]
    assert static == isinstance(vars(real)[method], staticmethod)


@pytest.mark.parametrize(("name", "property"), members(properties))
def test_properties(name: str, property: str) -> None:
    getter = vars(getattr(_native, name))[property].fget
    annotation = ast.unparse(properties(name)[property].annotation)
    said = "str" if annotation.startswith("Literal['") else annotation  # pybind11 knows no more
    assert getter.__doc__.split(" -> ")[1].strip() == said
