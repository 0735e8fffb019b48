"""What a set of times comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Times of `n` runs; none was dropped, however slow.

    Attributes:
        p25, p50, p90, p99: the run that so many per cent were at most as slow as. With fewer
            than 100 runs p99 is the slowest of them.
        mean: whose inverse is the throughput.
        spread: (p75 - p25) / p50.
    """

    n: int
    p25: float
    p50: float
    p90: float
    p99: float
    mean: float
    spread: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Summary:
        """Of one time or more."""
        ordered = sorted(samples)

        def nearest_rank(percent: int) -> float:
            return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

        p25, p50, p75 = (nearest_rank(percent) for percent in (25, 50, 75))
        return cls(
            n=len(ordered),
            p25=p25,
            p50=p50,
            p90=nearest_rank(90),
            p99=nearest_rank(99),
            mean=sum(ordered) / len(ordered),
            spread=(p75 - p25) / p50,
        )
