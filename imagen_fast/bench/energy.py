"""Energy, where the machine tells it: the processors' counters (RAPL) and the GPUs' power."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from imagen_fast.bench import gpu

POWERCAP = Path("/sys/class/powercap")
T = TypeVar("T")


class Meter:
    """Joules that the whole machine takes while something runs: idle power is in them.

    On Linux the processors' packages count for themselves, mostly readable by root alone. GPUs
    tell their power, which is taken at the end of the run and multiplied by its length.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        zones = sorted(folder.glob("intel-rapl:[0-9]*"))
        packages = [zone for zone in zones if zone.name.count(":") == 1]
        self._counters = [(z / "energy_uj", z / "max_energy_range_uj") for z in packages]
        self._on_cpu = bool(self._counters) and all(
            _number(c) is not None for c, _ in self._counters
        )
        self._on_gpu = gpu.power() is not None

    def around(self, work: Callable[[], T]) -> tuple[T, float | None]:
        """What `work` returns, and the joules meanwhile; None where nothing tells them."""
        before, start = self._read(), time.monotonic()
        result = work()
        seconds = time.monotonic() - start
        joules: float | None = None
        if self._on_cpu:
            after = self._read()
            joules = sum(
                ((last - first) % (span + 1)) / 1e6  # the counter starts again at its range
                for first, last, (_, limit) in zip(before, after, self._counters, strict=True)
                for span in [_number(limit) or 2**63]
            )
        if self._on_gpu and (watts := gpu.power()) is not None:
            joules = (joules or 0.0) + watts * seconds
        return result, joules

    def _read(self) -> list[int]:
        return [_number(counter) or 0 for counter, _ in self._counters] if self._on_cpu else []


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
