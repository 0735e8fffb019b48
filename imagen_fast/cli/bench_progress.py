"""What `imagen-fast bench` shows while it measures: a bar on a terminal, else a line a row."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager

from imagen_fast.bench.observer import Observer
from imagen_fast.bench.record import Row, where

STYLES = {"wrong": "bold red", "failed": "red"}


def watch(seconds: float, quiet: bool) -> Watch:
    """A `Bar` on a terminal, lines elsewhere, nothing if `quiet`."""
    if quiet:
        return Watch()
    return Bar(seconds) if sys.stderr.isatty() else Lines()


class Watch(Observer, AbstractContextManager["Watch"]):
    """Says nothing."""

    def __exit__(self, *exception: object) -> None:
        """Nothing to take down."""


class Lines(Watch):
    """One line on stderr for every row."""

    def measured(self, row: Row) -> None:
        """Print the row."""
        print(line(row), file=sys.stderr, flush=True)


class Bar(Watch):
    """The time that is over, what is going on, and above it every row that is final."""

    def __init__(self, seconds: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._start = time.monotonic()
        self._seconds = seconds
        self._progress = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]:>5}", style="cyan"),
            TextColumn("{task.description}", markup=False, style="dim"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=seconds, left="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the bar."""
        self._progress.stop()

    def doing(self, what: str) -> None:
        """Say it beside the bar."""
        gone = time.monotonic() - self._start
        left = f"{max(0, self._seconds - gone):.0f} s"
        self._progress.update(self._task, completed=gone, description=what, left=left)

    def measured(self, row: Row) -> None:
        """Print the row above the bar."""
        style = STYLES.get(row.outcome, "")
        self._progress.console.print(line(row), style=style, markup=False, highlight=False)


def line(row: Row) -> str:
    """A row in one line."""
    start = f"{where(row.place):>9}  {row.name:<34}"
    if row.outcome != "timed":
        return f"{start}  {row.outcome}: {row.why}"
    return f"{start}  {row.summary.p50:9.2f} ms"
