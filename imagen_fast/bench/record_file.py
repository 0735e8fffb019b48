"""Records in files: written whole or not at all, and checked when they are read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from imagen_fast import atomic
from imagen_fast.bench.record import FORMAT, LeftOut, Record, Row
from imagen_fast.bench.roofline import WIDTHS, Roofline
from imagen_fast.errors import BenchmarkError

LINES = ".jsonl"  # files that every run adds a line to


def write(record: Record, path: Path) -> None:
    """As JSON: a new file, or one more line of one that ends in .jsonl.

    The file appears, or changes, only when it is complete. Raises BenchmarkError.
    """
    if path.suffix == LINES:
        before = path.read_text("utf-8") if path.exists() else ""
        text = before + json.dumps(record.to_json(), allow_nan=False) + "\n"
    else:
        text = json.dumps(record.to_json(), indent=1, allow_nan=False) + "\n"
    write_text(text, path)


def write_text(text: str, path: Path) -> None:
    """The file appears, or changes, only when it is complete. Raises BenchmarkError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, text.encode())
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot write: {error.strerror or error}") from error


def read(path: Path) -> list[Record]:
    """The records of a file that `write` made, the oldest first.

    Raises:
        BenchmarkError: the file cannot be read, is damaged, or no such file.
    """
    try:
        text = path.read_text("utf-8")
        lines = text.splitlines() if path.suffix == LINES else [text]
        records = [_parsed(json.loads(line)) for line in lines if line.strip()]
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BenchmarkError(
            f"{path}: not what `imagen-fast bench --json` writes, or damaged ({error})"
        ) from error
    if not records:
        raise BenchmarkError(f"{path}: holds no record of `imagen-fast bench --json`")
    return records


def _parsed(data: dict[str, Any]) -> Record:
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {data['format']!r}; expected {FORMAT!r}")
    record = Record(**_fields(Record, data))
    record.roofline = Roofline(**_fields(Roofline, data["roofline"]))
    record.rows = [Row(**_fields(Row, row)) for row in data["rows"]]
    record.left_out = [LeftOut(**_fields(LeftOut, out)) for out in data["left_out"]]
    for row in record.rows:
        times = row.samples_ms
        if not all(type(t) in (int, float) and 0 < t < 1e12 for t in times):
            raise ValueError("a time is not a positive number")
        if row.outcome not in ("timed", "wrong", "failed") or (row.outcome == "timed") != bool(
            times
        ):
            raise ValueError(f"a row is {row.outcome!r} with {len(times)} times")
        if row.precision not in WIDTHS or not all(
            type(n) is int and 0 < n < 1 << 20 for n in (row.size, row.batch, row.scale)
        ):
            raise ValueError("a row's precision or size is out of range")
    return record


def _fields(kind: type[Any], data: dict[str, Any]) -> dict[str, Any]:
    """What belongs to a dataclass: what it does not know, such as derived figures, is left."""
    return {f.name: data[f.name] for f in dataclasses.fields(kind) if f.name in data}
