"""The process of one contestant: makes its network ready, and runs it when it is asked to."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imagen_fast.bench import gpu
from imagen_fast.bench.process import Child
from imagen_fast.bench.runtimes import Contestant, Images, Run, find
from imagen_fast.bench.timing import for_a_while

LONGEST = 0.3  # seconds of a turn, or one run
GRACE = 60.0  # seconds that one run may take


@dataclass(frozen=True)
class Readiness:
    """What the first run for one shape of input gave: (N, s·H, s·W, 3) float32 in [0, 1]; the
    instruction set; and seconds since the process began, at the first shape.
    """

    output: Images
    isa: str
    seconds: float


class Worker(Child):
    """A contestant's process, as others see it. All methods raise BenchmarkError."""

    def __init__(self, c: Contestant) -> None:
        super().__init__(_Answers(c))
        self._first_at: float | None = None

    def prepare(self, images: Images, file: str | Path, seconds: float) -> Readiness:
        """Make ready for images (N, H, W, 3) float32, and run them once.

        `file` is what the runtime reads.
        """
        with tempfile.NamedTemporaryFile(suffix=".npy") as output:
            isa, at = self.ask(("prepare", images, str(file), output.name), seconds)
            self._first_at = self._first_at or at
            return Readiness(np.load(output.name), isa, self._first_at - self.started)

    def burst(self, seconds: float = LONGEST) -> list[float]:
        """Milliseconds of each run of a turn of about so many seconds."""
        found: list[float] = self.ask(("burst", seconds), 2 * seconds + 3 * GRACE)
        return found

    def memory(self) -> tuple[int | None, int | None]:
        """Most bytes since it was last made ready, and bytes on GPUs; None where nobody says."""
        found: tuple[int | None, int | None] = self.ask(("memory",), GRACE)
        return found


class _Answers:
    """The contestant in its own process, which answers `Worker`'s requests."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._run: Run | None = None

    def __call__(self, request: tuple[Any, ...]) -> Any:
        return getattr(self, request[0])(*request[1:])

    def prepare(self, images: Images, file: str, output: str) -> tuple[str, float]:
        self._run = None  # a network at a time
        gc.collect()
        with suppress(OSError):  # no Linux, or not allowed: the peak is the whole process's
            Path("/proc/self/clear_refs").write_text("5")
        self._run, isa = find(self._contestant.runtime).ready(self._contestant, images, file)
        result, at = self._run(), time.monotonic()
        np.save(output, np.ascontiguousarray(result, np.float32))
        return isa, at

    def burst(self, seconds: float) -> list[float]:
        assert self._run is not None
        return list(for_a_while(self._run, seconds)())

    def memory(self) -> tuple[int | None, int | None]:
        on_gpu = self._contestant.device != "cpu"
        return _peak(), gpu.memory(os.getpid()) if on_gpu else None


def _peak() -> int | None:
    """Bytes of memory that this process has held at most; None where nobody says."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), None)
