"""A TOML file to the records of `config`.

Folders and files may use `~` and `$VARIABLES` (the configs that ship say `$IMAGEN_FAST_DATA`);
relative ones start at the current folder, as any path on a command line does.
"""

from __future__ import annotations

import math
import os
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from imagen_fast.errors import TrainingError
from imagen_fast.extras import install
from imagen_fast.training.config import Config
from imagen_fast.training.source import Source

if sys.version_info >= (3, 11):
    import tomllib
else:
    try:
        import tomli as tomllib
    except ImportError as error:
        raise TrainingError(f"the package tomli is not installed; {install('train')}") from error


def load_config(
    path: Path, overrides: Sequence[str] = (), run: Mapping[str, object] = MappingProxyType({})
) -> Config:
    """The configuration in a TOML file.

    Args:
        overrides: `section.key=value`, the value as TOML has it, or a bare word.
        run: values that replace the `[run]` section's, as they are.

    Raises:
        TrainingError: the file cannot be read, is no TOML, or a key or value is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} is no TOML file: {error}") from error
    for override in overrides:
        _override(tables, override)
    tables["run"] = {**tables.get("run", {}), **run}
    return parse_config(tables)


def parse_config(tables: dict[str, Any]) -> Config:
    """The configuration that a TOML file's tables say.

    Raises:
        TrainingError: a key is unknown or missing, or a value is of a wrong type or range.
    """
    config: Config = _record(Config, tables, "")
    return config


def _override(tables: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise TrainingError(f"override {override!r}; expected SECTION.KEY=VALUE")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word: a name or a path
    tables.setdefault(section, {})[key] = value


def _record(cls: type, table: object, name: str) -> Any:
    """An instance of the dataclass `cls` from a table whose keys are its fields."""
    where = f"[{name}]" if name else "the configuration"
    if not isinstance(table, dict):
        raise TrainingError(f"{where} is {type(table).__name__}; expected a table")
    known = {field.name: field for field in fields(cls)}
    if unknown := [key for key in table if key not in known]:
        raise TrainingError(f"{where} has no key {unknown[0]!r}; its keys are {', '.join(known)}")
    required = [
        key
        for key, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING
    ]
    if missing := [key for key in required if key not in table]:
        raise TrainingError(f"{where} lacks {', '.join(missing)}")
    types_ = get_type_hints(cls)
    prefix = f"{name}." if name else ""
    return cls(**{key: _value(types_[key], value, prefix + key) for key, value in table.items()})


def _value(kind: Any, value: object, name: str) -> Any:
    """`value` if it is what the annotation `kind` says, as that type."""
    if get_origin(kind) in (Union, types.UnionType):  # X | None, and TOML has no None
        kind = next(part for part in get_args(kind) if part is not type(None))
    if kind is Source and isinstance(value, str):
        value = {"folder": value}
    if isinstance(kind, type) and hasattr(kind, "__dataclass_fields__"):
        return _record(kind, value, name)
    if get_origin(kind) is tuple:
        if isinstance(value, str):  # one where several may stand
            value = [value]
        if not isinstance(value, list):
            raise TrainingError(f"{name} is {value!r}; expected a list")
        return tuple(_value(get_args(kind)[0], item, name) for item in value)
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if (type(value), value) not in [(type(choice), choice) for choice in choices]:  # 1 == True
            expected = ", ".join(_toml(choice) for choice in choices)
            raise TrainingError(f"{name} is {value!r}; expected one of {expected}")
        return value
    if kind is Path:
        return _path(value, name)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise TrainingError(f"{name} is {value!r}; expected {_PLAIN[kind]}")
    return value


def _toml(value: str | bool) -> str:
    return repr(value) if isinstance(value, str) else str(value).lower()


_PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _path(value: object, name: str) -> Path:
    if not isinstance(value, str) or not value:
        raise TrainingError(f"{name} is {value!r}; expected a path")
    expanded = os.path.expandvars(value)
    if "$" in expanded:
        raise TrainingError(
            f"{name} is {value!r}, and that variable is not set; set it to the folder that "
            "holds the pictures, or write the path out"
        )
    return Path(expanded).expanduser()
