"""The curves of a run, as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from imagen_fast.errors import TrainingError


class CurveLog:
    """Rows of one CSV file, each on disk when `write` returns.

    A row says what happened since the row before: losses are means over those steps.

    Args:
        path: the file; rows after `step` are dropped from one that is there, because the run
            goes on from that step.
        columns: its header, `step` first.

    Raises:
        TrainingError: the file is there and has other columns.
    """

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self._path, self._columns = path, list(columns)
        kept = []
        if step and path.exists():
            with path.open(newline="") as file:
                reader = csv.DictReader(file)
                if reader.fieldnames != self._columns:
                    raise TrainingError(
                        f"{path} has the columns {reader.fieldnames}, this run "
                        f"{self._columns}; move it away to go on"
                    )
                # A kill can leave half a row at the end.
                rows = [row for row in reader if None not in row.values()]
            kept = [row for row in rows if row["step"].isdigit() and int(row["step"]) <= step]
        temporary = path.with_name(path.name + ".part")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(kept)
        temporary.replace(path)

    def write(self, row: dict[str, float]) -> None:
        """Append a row; columns that it lacks stay empty."""
        with self._path.open("a", newline="") as file:
            text = {name: f"{value:.6g}" for name, value in row.items()}
            csv.DictWriter(file, self._columns).writerow(text | {"step": str(int(row["step"]))})
