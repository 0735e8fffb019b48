"""What a measurement leaves: a record with rows, as JSON, with all that is needed to believe it.

A row is a dictionary: names that tell it apart (`network`, `runtime`, `precision`, `size`,
`threads`, …), `samples_ms` with every run that counted, and what else is known of it: `psnr` in dB
to the answer (null if equal), `why` it has no times, `batch` and `megapixels` of a run's result,
`gflop` of a run by arithmetic, `start_s` from the start of its process to the first result,
`peak_bytes` and `device_bytes` of memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagen_fast import atomic
from imagen_fast.bench import machine
from imagen_fast.errors import BenchmarkError

FORMAT = "imagen-fast-bench-2"
BEFORE = "imagen-fast-bench-1"  # the same keys, and more
LINES = ".jsonl"  # files that every run adds a line to
Row = dict[str, Any]
Record = dict[str, Any]


def record(command: str, rows: Sequence[Row], load: Sequence[float | None], **facts: Any) -> Record:
    """The rows with the machine, its load before and after, and other facts."""
    about = {"format": FORMAT, "command": command, "machine": machine.describe()}
    return about | {"load": list(load)} | facts | {"rows": list(rows)}


def place(made: Record, results: Path, name: str) -> Path:
    """The file of this name in the folder of the device that a record is of."""
    return results / machine.folder_name(made["machine"]) / name


def write(made: Record, path: Path, *, replace: bool = True) -> None:
    """A new file, or one more line of one that ends in .jsonl.

    Raises BenchmarkError, also where a file that would be new is there and `replace` is False.
    """
    with atomic.refused_as(BenchmarkError, path):
        if path.suffix == LINES:
            replace = True
            text = path.read_text("utf-8") if path.exists() else ""
            text += json.dumps(made, allow_nan=False)
        else:
            rows = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in made["rows"])
            head = {key: made[key] for key in made if key != "rows"}
            text = (
                f'{json.dumps(head, indent=1, allow_nan=False)[:-2]},\n "rows": [\n{rows}\n ]\n}}'
            )
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
        atomic.write(path, f"{text}\n".encode(), replace=replace)


def read(path: Path) -> list[Record]:
    """The records of a file that `write` made, the oldest first.

    Raises:
        BenchmarkError: the file cannot be read, or is another.
    """
    try:
        text = path.read_text("utf-8")
        lines = text.splitlines() if path.suffix == LINES else [text]
        records: list[Record] = [json.loads(line) for line in lines]
        known = all(made["format"] in (FORMAT, BEFORE) and made["rows"] for made in records)
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known:
        raise BenchmarkError(f"{path}: not what `imagen-fast bench --json` writes, or damaged")
    return records
