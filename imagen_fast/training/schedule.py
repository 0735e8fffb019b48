"""How far a run is, how fast it learns meanwhile, and when it logs and saves."""

from __future__ import annotations

import math
from dataclasses import dataclass

FLOOR = 0.01  # of the peak rate, at the end of the cosine


@dataclass(frozen=True)
class Schedule:
    """The rise and fall of the learning rate over a number of steps or minutes.

    Attributes:
        steps, minutes: its length; one of the two is 0.
        warmup: steps over which the rate rises.
        first_step, first_second: of the run, when this schedule began: 0 at the run's start,
            later where a finished run is extended.
    """

    steps: int
    minutes: float
    warmup: int
    first_step: int = 0
    first_second: float = 0.0

    def progress(self, step: int, seconds: float) -> float:
        """How much of the schedule is over, from 0 to 1."""
        if self.steps:
            part = (step - self.first_step) / self.steps
        else:
            part = (seconds - self.first_second) / (60 * self.minutes)
        return min(1.0, part)

    def left(self, step: int, seconds: float) -> float:
        """An estimate of the seconds to go, from those that have passed."""
        part = self.progress(step, seconds)
        return (seconds - self.first_second) * (1 - part) / part if part else 0.0

    def rate(self, step: int, seconds: float) -> float:
        """What part of its peak the learning rate has in the step numbered `step`."""
        return rate(step - self.first_step, self.progress(step, seconds), self.warmup)


def rate(step: int, progress: float, warmup: int) -> float:
    """What part of its peak the learning rate has: a linear rise, then a cosine to 1 %.

    step counts from 0; progress is the schedule's, from 0 to 1.
    """
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress)))


class Every:
    """Due after so many steps or so many seconds, whichever comes first, and at the start.

    The steps are multiples of `steps`; the seconds count from the last time that it was done.
    """

    def __init__(self, steps: int, seconds: float) -> None:
        self._steps, self._seconds = steps, seconds
        self._last = -math.inf

    def due(self, step: int, seconds: float) -> bool:
        """Whether it has to be done now."""
        return step % self._steps == 0 or seconds >= self._last + self._seconds

    def done(self, seconds: float) -> None:
        """It was done."""
        self._last = seconds
