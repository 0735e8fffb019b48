"""What `imagen-fast video` shows while it runs: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagen_fast.cli.progress import bar, describe
from imagen_fast.cli.text import duration, short, shown
from imagen_fast.video.job import Job

if TYPE_CHECKING:
    from imagen_fast.engine import Engine

# Seconds between two lines where there is no terminal, and frames that the speed is a mean of.
EVERY, MEAN_OF = 10.0, 50


class Frames:
    """Counts frames, and says how fast they come and how long the rest will take."""

    def __init__(self, job: Job, quiet: bool) -> None:
        self._job, self._quiet = job, quiet
        self._count = self._kept = 0
        self._times: deque[float] = deque(maxlen=MEAN_OF)
        self._began = self._said = time.perf_counter()
        self._bar = None
        if sys.stderr.isatty() and not quiet:
            self._bar = bar(True, 300)
            total = job.source.count or None
            self._task = self._bar.add_task("loading the model", total=total, note="")

    def __enter__(self) -> Frames:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def loaded(self, engine: Engine) -> None:
        """Say what runs, where and why."""
        if self._bar is not None:
            self._say(describe(engine))

    def warn(self, notes: Sequence[str]) -> None:
        """A line for each, unless quiet."""
        for note in () if self._quiet else notes:
            self._say(f"warning: {shown(note)}")

    def advanced(self, kept: bool) -> None:
        """A frame is written, or was finished by an earlier run, which makes this one no faster."""
        now = time.perf_counter()
        self._count += 1
        if kept:
            self._kept += 1
            self._began = now
        else:
            self._times.append(now)
        total = self._job.source.count
        if self._bar is not None:
            name = self._job.wanted.source
            description = short(shown(name.name if name else "standard input"), 32)
            self._bar.update(
                self._task,
                description=description,
                completed=self._count,
                total=max(total, self._count) or None,
                note=self.speed(recent=True),
            )
        elif now - self._said >= EVERY and not self._quiet:
            self._said = now
            of = f" of {total}" if total else ""
            rate = self._rate()
            left = duration((total - self._count) / rate) if total > self._count and rate else ""
            left = f", {left} left" if left else ""
            self._say(f"{self._count}{of} frames, {self.speed(recent=True)}{left}")

    def interrupted(self) -> None:
        """Say what is kept, and how to go on."""
        self.__exit__()
        if kept := self._job.keep():
            where = f"{shown(str(self._job.wanted.output))}.parts"
            line = f"{kept} frames are kept in {where}, and the same command goes on from there"
            print(line, file=sys.stderr)
        elif self._job.wanted.output is not None:
            length = self._job.segment_length
            print(f"no segment of {length} frames was whole, so nothing is kept", file=sys.stderr)

    def speed(self, recent: bool = False) -> str:
        """Frames a second, of all or of the last ones."""
        rate = self._rate() if recent else self._mean()
        earlier = f", {self._kept} from an earlier run" if self._kept and not recent else ""
        return f"{rate:.3g} fps{earlier}"

    def _rate(self) -> float:
        if len(self._times) < 2:
            return self._mean()
        return (len(self._times) - 1) / max(self._times[-1] - self._times[0], 1e-9)

    def _mean(self) -> float:
        return (self._count - self._kept) / max(time.perf_counter() - self._began, 1e-9)

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, style="dim")
        else:
            print(line, file=sys.stderr, flush=True)
