"""What a run shows while it goes on: a progress bar in a terminal, lines anywhere else."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class Lines(AbstractContextManager["Lines"]):
    """One line on stderr for every row of the log."""

    def advance(self, progress: float) -> None:
        """A step is done; progress is the run's, from 0 to 1."""

    def row(self, row: dict[str, float], progress: float, left: float) -> None:
        """A row was logged; `left` is the estimate of the seconds to go."""
        eta = timedelta(seconds=round(left))
        self.say(f"{summary(row)}  {progress:.1%}  {eta} to go")

    def say(self, text: str) -> None:
        """A line of its own."""
        print(text, file=sys.stderr, flush=True)

    def __exit__(self, *exception: object) -> None:
        """Nothing to put back."""


class Bar(Lines):
    """A progress bar with the time to go and the last row's losses."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bar: Progress = RichProgress(
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} to go  {task.description}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=1.0, left="?")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def advance(self, progress: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=progress)

    def row(self, row: dict[str, float], progress: float, left: float) -> None:
        """Show the loss beside the bar, and the whole row above it if it has a validation."""
        eta = str(timedelta(seconds=round(left)))
        short = summary({name: row[name] for name in ("step", "loss")})
        self._bar.update(self._task, completed=progress, description=short, left=eta)
        if "psnr" in row:
            self.say(summary(row))

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, highlight=False, markup=False)

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


class Nothing(Lines):
    """For every process but the first, and where nothing is wanted."""

    def say(self, text: str) -> None:
        """Say nothing."""


def choose_display(quiet: bool = False) -> Lines:
    """A bar in a terminal, lines elsewhere, nothing if `quiet`."""
    if quiet:
        return Nothing()
    return Bar() if sys.stderr.isatty() else Lines()


def summary(row: dict[str, float]) -> str:
    """`step 1200  loss 0.0234  …`, without the columns that say nothing to a reader."""
    shown = [(name, value) for name, value in row.items() if name not in ("step", "lr", "seconds")]
    parts = [f"{name} {value:.4g}" for name, value in shown]
    return "  ".join([f"step {int(row['step'])}", *parts])
