"""Times in turns: the one loop by which everything here is measured."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Burst = Callable[[], Sequence[float]]  # a turn: milliseconds of every run of it that counts
LEAST, MOST = 3, 100  # rounds


@dataclass(frozen=True)
class Summary:
    """Times of `n` runs; none was dropped, however slow.

    Attributes:
        p25, p50, p75, p90: the run that so many per cent were at most as slow as.
        mean: whose inverse is the throughput.
        spread: (p75 - p25) / p50.
    """

    n: int
    p25: float
    p50: float
    p75: float
    p90: float
    mean: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        """Of one time or more, by nearest rank: every quantile is a time that was measured."""
        ordered = sorted(samples)
        p25, p50, p75, p90 = (
            ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
            for percent in (25, 50, 75, 90)
        )
        return cls(len(ordered), p25, p50, p75, p90, sum(ordered) / len(ordered))

    @property
    def spread(self) -> float:
        """The middle half of the runs, as a part of the median."""
        return (self.p75 - self.p25) / self.p50


def in_turns(
    bursts: Mapping[str, Burst], seconds: float, *, least: int = LEAST, most: int = MOST
) -> dict[str, list[float]]:
    """Milliseconds of everyone's runs, in rounds of another order each, so that a busy machine
    slows all alike.

    Ends with the round after which another would not fit into `seconds`, but not before `least`
    rounds, and after `most`.
    """
    samples: dict[str, list[float]] = {name: [] for name in bursts}
    order, generator = list(bursts), random.Random(0)
    start = time.monotonic()
    for done in range(most):
        passed = time.monotonic() - start
        if done >= least and passed + passed / done > seconds:
            break
        generator.shuffle(order)
        for name in order:
            samples[name] += [round(x, 4) for x in bursts[name]()]
    return samples


def once(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Burst:
    """A turn that is one run, by a clock that tells seconds."""

    def burst() -> list[float]:
        start = clock()
        run()
        return [1e3 * (clock() - start)]

    return burst


def for_a_while(
    run: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> Burst:
    """A turn that is runs for so many seconds, at least one, after some that do not count."""

    def burst() -> list[float]:
        time.sleep(PAUSE)
        end = time.monotonic() + min(AWAKE, seconds)
        while time.monotonic() < end:
            run()
        times, end = list(one()), time.monotonic() + seconds
        while time.monotonic() + times[-1] / 1e3 < end:
            times += one()
        return times

    one = once(run, clock)
    return burst


PAUSE = 0.1  # seconds, after which other runtimes' threads wait awake no longer
AWAKE = 0.02  # seconds of runs after which a runtime's own threads, caches and clocks are warm
