"""What a batch shows while it runs and when it ends: bar and table on a terminal, else lines."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_fast.cli.text import count, duration, short, shown
from imagen_fast.tasks.batch import Observer, Result
from imagen_fast.tasks.files import Job

if TYPE_CHECKING:
    from rich.progress import Progress

    from imagen_fast.engine import Engine

STYLES = {"done": "green", "skipped": "yellow", "failed": "red", "not finished": "red"}


def describe(engine: Engine) -> str:
    """What runs, where and why, in a line."""
    facts = engine.info()
    where = facts["isa"] or facts["device"]
    return f"{facts['model']}: {facts['backend']} on {where}, {facts['precision']} ({facts['why']})"


def report(jobs: list[Job], quiet: bool, notes: Sequence[str] = ()) -> Report:
    """A `Bar` on a terminal, else a plain `Report`; `notes` end an overview."""
    terminal = sys.stdout.isatty() and sys.stderr.isatty()
    return Bar(jobs, notes) if terminal and not quiet else Report(jobs, notes)


class Report(Observer):
    """Collects the results, and prints each failure as one line on stderr when it happens."""

    def __init__(self, jobs: list[Job], notes: Sequence[str] = ()) -> None:
        self.jobs = jobs
        self.notes = notes
        self.results: list[Result] = []
        self._choices: dict[str, Counter[str]] = {}
        self._start = time.perf_counter()

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing to take down."""

    def loaded(self, engine: Engine) -> None:
        """The engine is ready. Only a terminal is told which it is."""

    def advanced(self, job: Job, fraction: float) -> None:
        """Keep which picture is being computed."""
        self._current = job

    def chose(self, why: str, model: str, usual: str) -> None:
        """Say which model takes the picture that is being computed; of several at the end."""
        if len(self.jobs) == 1:
            self.say(f"{shown(self._current.source)}: {why}: {model} takes it, not {usual}")
        else:
            kinds = self._choices.setdefault(f"by {model}, not {usual}", Counter())
            kinds[why.split(" of ")[0]] += 1

    def say(self, line: str) -> None:
        """A line of its own."""
        print(line, file=sys.stderr, flush=True)

    def finished(self, result: Result) -> None:
        """Keep the result; say so if it is a failure, or took another precision."""
        self.results.append(result)
        if result.reruns:
            source, parts = shown(result.job.source), count(result.reruns, "part")
            line = f"warning: {source}: {parts} not finite, so computed again in fp32"
            print(line, file=sys.stderr, flush=True)
        if result.outcome == "failed":
            self.failed(result)
            if result.error and os.environ.get("IMAGEN_FAST_DEBUG") == "1":
                print(*traceback.format_exception(result.error), sep="", file=sys.stderr)

    def interrupted(self, pictures: int) -> None:
        """Say what is waited for."""
        what = count(pictures, "picture")
        line = f"interrupted: saving {what} that {'is' if pictures == 1 else 'are'} computed; "
        print(f"{line}a second Ctrl-C gives up on that", file=sys.stderr, flush=True)

    def failed(self, result: Result) -> None:
        """Print one failure."""
        line = f"error: {shown(result.job.source)}: {shown(result.reason)}"
        print(line, file=sys.stderr, flush=True)

    def counts(self) -> dict[str, int]:
        """How many pictures ended how."""
        outcomes = [result.outcome for result in self.results]
        counts = {name: outcomes.count(name) for name in ("done", "skipped", "failed")}
        if rest := len(self.jobs) - len(self.results):
            counts["not finished"] = rest
        return counts

    def summarise(self) -> None:
        """Print how it ended."""
        if len(self.jobs) > 1:
            self.overview(time.perf_counter() - self._start)
            for line in (*self._chosen(), *self.notes):
                print(line)
            return
        for result in self.results:
            target = shown(result.job.target)
            if result.outcome == "done":
                size = f"{result.width} × {result.height}"
                print(f"{target}: {size} in {duration(result.seconds)}")
            elif result.outcome == "skipped":
                print(f"{target}: exists, skipped")

    def _chosen(self) -> list[str]:
        """A line for each choice of a model."""
        return [
            f"{count(kinds.total(), 'picture')} {choice}: "
            + ", ".join(f"{number} × {kind}" for kind, number in kinds.most_common())
            for choice, kinds in self._choices.items()
        ]

    def overview(self, seconds: float) -> None:
        """Print how many pictures ended how, and the failures again, which may be far above."""
        counts = ", ".join(f"{number} {name}" for name, number in self.counts().items())
        print(f"{len(self.jobs)} pictures: {counts}; {self.work(seconds)}")
        for result in self.results:
            if result.outcome == "failed":
                print(f"failed: {shown(result.job.source)}: {shown(result.reason)}")

    def work(self, seconds: float) -> str:
        """How much was computed, and how fast."""
        pixels = sum(result.height * result.width for result in self.results) / 1e6
        if not pixels:
            return duration(seconds)
        speed = pixels / seconds
        return f"{pixels:.1f} megapixels in {duration(seconds)} ({speed:.2g} per second)"


class Bar(Report):
    """On a terminal: one bar over all pictures with the time that is left, a table at the end."""

    def __init__(self, jobs: list[Job], notes: Sequence[str] = ()) -> None:
        super().__init__(jobs, notes)
        self._todo = sum(not job.problem and not job.skip for job in jobs)
        self._started = 0
        # A strip of a large picture can take minutes: look that far back to estimate the rest.
        self._progress = bar(self._todo > 1, 900, "red")
        self._task = self._progress.add_task("loading the model", total=None, note="")

    def __enter__(self) -> Bar:
        if self._todo:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the bar."""
        self._progress.stop()

    def loaded(self, engine: Engine) -> None:
        """Say what runs, where and why."""
        self._progress.console.print(describe(engine), style="dim", markup=False, highlight=False)

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._progress.console.print(line, markup=False, highlight=False)

    def advanced(self, job: Job, fraction: float) -> None:
        """Move the bar."""
        super().advanced(job, fraction)
        self._started += fraction == 0
        self._progress.update(
            self._task,
            description=short(shown(job.source.name), 32),
            total=self._todo,
            completed=self._started - 1 + fraction,
        )

    def failed(self, result: Result) -> None:
        """Count it beside the bar; the table will say why. A single failure is a line."""
        if len(self.jobs) == 1:
            super().failed(result)
        else:
            self._progress.update(self._task, note=f"{self.counts()['failed']} failed")

    def overview(self, seconds: float) -> None:
        """Print the table."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column()
        table.add_column(justify="right")
        for name, number in self.counts().items():
            details = Table.grid(padding=(0, 2))
            if name == "done":
                details.add_row(self.work(seconds))
            for result in self.results if name == "failed" else ():
                if result.outcome == name:
                    source, why = shown(result.job.source), shown(result.reason)
                    details.add_row(Text(source, overflow="fold"), Text(why))
            table.add_row(Text(name, STYLES[name] if number else "dim"), str(number), details)
        Console().print(table)


def bar(several: bool, mean_of: float, style: str = "") -> Progress:
    """On stderr, over tasks with a `note` in a style; the last `mean_of` seconds tell the rest."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn() if several else TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style=style),
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=mean_of,
    )
