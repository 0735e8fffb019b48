"""What a batch shows while it runs and when it ends: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
import traceback
from types import TracebackType
from typing import TYPE_CHECKING

import click

from imagen_fast.cli.text import count, duration, shown
from imagen_fast.tasks.batch import Observer, Result
from imagen_fast.tasks.files import Job

if TYPE_CHECKING:
    from rich.progress import Progress


class Report(Observer):
    """Collects the results, and prints each failure as one line on stderr when it happens."""

    def __init__(self, jobs: list[Job]) -> None:
        self.results: list[Result] = []
        self._start = time.perf_counter()
        self._total = len(jobs)

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        pass

    def finished(self, result: Result) -> None:
        """Keep the result; say so if it is a failure."""
        self.results.append(result)
        if result.outcome == "failed":
            self.failed(result)

    def failed(self, result: Result) -> None:
        """Print the failure, and where in the code it arose if IMAGEN_FAST_DEBUG=1 asks."""
        click.echo(f"error: {shown(result.job.source)}: {shown(result.reason)}", err=True)
        if result.error and os.environ.get("IMAGEN_FAST_DEBUG") == "1":
            click.echo("".join(traceback.format_exception(result.error)), err=True)

    def of(self, outcome: str) -> list[Result]:
        """The results with this outcome."""
        return [result for result in self.results if result.outcome == outcome]

    def summarise(self) -> None:
        """Print what happened to how many pictures. A single failure has said all already."""
        if self._total > 1 or not self.of("failed"):
            click.echo(self._line())

    def _line(self) -> str:
        done, skipped, failed = self.of("done"), self.of("skipped"), self.of("failed")
        took = time.perf_counter() - self._start
        if self._total == 1 and done:
            [only] = done
            size = f"{only.width} × {only.height}"
            return f"{shown(only.job.target)}: {size} in {duration(only.seconds)}"
        if self._total == 1 and skipped:
            return f"{shown(skipped[0].job.target)}: exists, skipped"
        parts = [f"{len(done)} done", f"{len(skipped)} skipped", f"{len(failed)} failed"]
        if rest := self._total - len(self.results):
            parts.append(f"{rest} not finished")
        speed = ""
        if done:
            pixels = sum(result.height * result.width for result in done) / 1e6
            speed = f" ({pixels:.1f} megapixels, {pixels / took:.2g} per second)"
        return f"{count(self._total, 'picture')}: {', '.join(parts)} in {duration(took)}{speed}"


class Bar(Report):
    """On a terminal: one bar over all pictures with the time that is left."""

    def __init__(self, jobs: list[Job]) -> None:
        super().__init__(jobs)
        self._todo = sum(not job.problem and not job.skip for job in jobs)
        self._started = 0
        self._progress = _progress(several=self._todo > 1)
        self._task = self._progress.add_task("loading the model", total=None)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advanced(self, job: Job, fraction: float) -> None:
        """Move the bar."""
        self._started += fraction == 0
        self._progress.update(
            self._task,
            description=_short(shown(job.source.name)),
            total=self._todo,
            completed=self._started - 1 + fraction,
        )


def report(jobs: list[Job], quiet: bool) -> Report:
    """A `Bar` on a terminal, else a plain `Report`."""
    terminal = sys.stdout.isatty() and sys.stderr.isatty()
    return Bar(jobs) if terminal and not quiet else Report(jobs)


def _short(name: str, length: int = 32) -> str:
    return name if len(name) <= length else f"{name[: length // 2 - 1]}…{name[-length // 2 :]}"


def _progress(several: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn() if several else TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    ]
    # A strip of a large picture can take minutes: look that far back to estimate the rest.
    return Progress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=900
    )
