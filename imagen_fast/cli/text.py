"""Plain text for people: columns, sizes, times, and names that cannot upset a terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from imagen_fast import atomic


def columns(rows: Sequence[Sequence[str]], right: str = "") -> str:
    """Rows of cells as aligned columns, two spaces apart.

    `right` has an `r` for each column that is aligned to the right (`"lrr"`); others are left.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    sides = right.ljust(len(widths), "l")
    lines = (
        "  ".join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        ).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def shown(path: str | Path) -> str:
    """The path as it can be printed anywhere: control and undecodable characters become `?`.

    Of what lies in a scratch folder the name alone is shown.
    """
    text = atomic.without_scratch(os.fsencode(path).decode(errors="replace"))
    return "".join(c if c.isprintable() else "?" for c in text)


def short(name: str, length: int) -> str:
    """The name in at most `length` characters, its middle left out if need be."""
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-(length // 2) :]}"


def duration(seconds: float) -> str:
    """`0.42 s`, `7.3 s`, `3 min 20 s` or `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def file_size(count: int) -> str:
    """So many bytes: `3.1 MB`, or `41.5 kB` below 0.1 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def count(number: int, thing: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
