"""What fits into the time: places to measure at, and what a contestant will cost there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from imagen_fast.bench.contestant import Contestant

# Rounds that there must be time for, and with which a place ends if time flies.
WANTED_ROUNDS, LEAST_ROUNDS = 5, 3
BETWEEN = 0.12  # seconds that a worker lets pass before it counts
# (size, batch) → its part of the time. The first takes also what getting ready takes at first.
DEFAULT_PLACES = {
    (256, 1): 7.0,
    (64, 1): 2.0,
    (128, 8): 2.0,
    (512, 1): 2.0,
    (128, 1): 1.0,
    (1024, 1): 2.0,
}
# Seconds to get ready, before anyone has seen it.
GUESS = {"native": 0.5, "fake": 0.5, "torch-compile": 45.0, "compiled": 45.0, "tensorrt": 60.0}
OTHERS = 4.0


def places(sizes: tuple[int, ...], batches: tuple[int, ...]) -> dict[tuple[int, int], float]:
    """All of these sizes with all of these batches; none given is the default."""
    if not sizes and not batches:
        return dict(DEFAULT_PLACES)
    return {(s, b): 1.0 for b in batches or (1,) for s in sizes or (256, 64, 512, 128, 1024)}


@dataclass
class Clock:
    """The box of time of a run, counted from when it is made."""

    seconds: float
    start: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds; negative when over."""
        return self.start + self.seconds - time.monotonic()

    def part(self, weight: float, of: float) -> float:
        """When a share of what is left ends, by `time.monotonic()`."""
        return time.monotonic() + max(0.0, self.left) * weight / of


@dataclass
class Costs:
    """What contestants took so far, from which what they will take is guessed."""

    ready: dict[str, float] = field(default_factory=dict)
    pixel: dict[str, float] = field(default_factory=dict)

    def learn(self, c: Contestant, pixels: int, ready: float, run: float) -> None:
        """A contestant was ready after `ready` seconds and ran for `run` seconds."""
        self.ready[str(c)] = ready
        self.pixel[str(c)] = run / pixels

    def run(self, c: Contestant, pixels: int) -> float:
        """Seconds of a run: as long a pixel as it took before, or as the slowest took."""
        slowest = max(self.pixel.values(), default=0.0)
        return self.pixel.get(str(c), slowest) * pixels

    def to_start(self, c: Contestant, pixels: int) -> float:
        """Seconds to get ready, to be checked and for a first run."""
        ready = self.ready.get(str(c), GUESS.get(c.runtime, OTHERS))
        return ready + 2 * self.run(c, pixels)

    @staticmethod
    def of_rounds(run: float) -> float:
        """Seconds for the runs that count."""
        return WANTED_ROUNDS * (run + BETWEEN)

    @staticmethod
    def file(pixels: int) -> float:
        """Seconds to export a network for so many pixels, which runs it once in PyTorch."""
        return 1.5 + 2.0 * pixels / 256**2
