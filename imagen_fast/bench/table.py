"""Rows as the one table that people see, and tables of pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from imagen_fast.bench.record import Row
from imagen_fast.bench.timing import Summary

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 132  # characters in which everything has room
LESS = ("isa", "p90", "n", "GFLOP/s", "start s")  # what narrow terminals do not show
NAMES = ("network", "runtime", "precision", "size", "batch", "threads", "isa")
FIGURES: dict[str, Callable[[Row, Summary], Any]] = {  # what is false or empty, is not known
    "p50 ms": lambda row, s: number(s.p50),
    "p90": lambda row, s: number(s.p90) if s.n >= 5 else "-",
    "±": lambda row, s: f"{100 * s.spread:.0f}",
    "n": lambda row, s: str(s.n),
    "pict/s": lambda row, s: row.get("batch", 1) > 1 and number(1e3 * row["batch"] / s.mean),
    "Mpx/s": lambda row, s: row.get("megapixels") and number(1e3 * row["megapixels"] / s.mean),
    "GFLOP/s": lambda row, s: row.get("gflop") and f"{1e3 * row['gflop'] / s.p50:.0f}",
    "×": lambda row, s: row.get("times") and f"{row['times']:.2f}",
    "dB": lambda row, s: (
        "psnr" in row and ("equal" if row["psnr"] is None else f"{row['psnr']:.0f}")
    ),
    "start s": lambda row, s: row.get("start_s") and f"{row['start_s']:.2f}",
    "MB": lambda row, s: row.get("peak_bytes") and f"{row['peak_bytes'] / 1e6:.0f}",
    "MB on GPU": lambda row, s: row.get("device_bytes") and f"{row['device_bytes'] / 1e6:.0f}",
}


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Print them, if any, in order: what tells them apart, then figures that any of them has."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    if not rows:
        return
    console = console or wide_enough(Console(highlight=False))
    cells = [_figures(row) for row in rows]
    names = [name for name in NAMES if len({row.get(name, "") for row in rows}) > 1] or ["runtime"]
    figures = [name for name in FIGURES if any(name in found for found in cells)]
    if console.width < WIDE:
        names, figures = ([x for x in all_ if x not in LESS] for all_ in (names, figures))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    for name in names:
        table.add_column(name, no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for row, found, after in zip(rows, cells, [*rows[1:], {}], strict=True):
        style = "bold green" if row.get("ours") and found else "" if found else "red"
        values = [found.get(name, "" if found else "-") for name in figures]
        said = [f"{row[name]}²" if name == "size" else str(row.get(name, "")) for name in names]
        table.add_row(*said, *values, style=style, end_section=row.get("size") != after.get("size"))
    console.print(table)
    for row in rows:
        if why := row.get("why"):
            said = [str(row[name]) for name in names if name in row]
            console.print(f"{' '.join(said)}: {why}", style="red", markup=False)


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of a page."""
    first, *rest = (f"| {' | '.join(line)} |" for line in (heads, *lines))
    return "\n".join([first, f"|{'---|' * len(heads)}", *rest])


def wide_enough(console: Console) -> Console:
    """As wide as everything needs, where no terminal says how wide it is."""
    if not console.is_terminal:
        console.width = WIDE
    return console


def _figures(row: Row) -> dict[str, str]:
    if not row.get("samples_ms"):
        return {}
    summary = Summary.of(row["samples_ms"])
    return {name: text for name, of in FIGURES.items() if (text := of(row, summary))}


def number(value: float) -> str:
    """Three digits that say something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
