"""The process of one contestant: makes its network ready, and runs it when it is asked to.

    python -m imagen_fast.bench.worker '{"runtime": "native", "network": ..., ...}'

Before each burst it lets the threads of the runtime before fall asleep, and wakes its own by runs
that do not count.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from imagen_fast.bench import gpu, runtimes
from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.energy import Meter
from imagen_fast.bench.process import serve

PAUSE = 0.1  # seconds, after which runtimes' threads wait awake no longer
AWAKE = 0.02  # seconds of runs after which a runtime's own threads, caches and clocks are warm
MOST_RUNS = 400  # in one burst


class Stand:
    """Where a contestant runs; answers `Worker`'s requests."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._runtime = runtimes.find(contestant.runtime)
        self._run: runtimes.Run | None = None
        self._meter = Meter()
        self._on_gpu = contestant.device != "cpu"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What `request["do"]` asks for."""
        if request["do"] == "prepare":
            return self._prepare(np.load(request["images"]), request["file"], request["output"])
        return self._burst(request["seconds"])

    def _prepare(self, images: runtimes.Images, file: str, output: str) -> dict[str, Any]:
        self._run = None  # a network at a time
        gc.collect()
        _forget_peak()
        times = [time.monotonic()]
        import_module(self._runtime.library)
        times.append(time.monotonic())
        self._run, isa = self._runtime.ready(self._contestant, images, file)
        times.append(time.monotonic())
        result = self._run()
        times.append(time.monotonic())
        np.save(output, np.ascontiguousarray(result, np.float32))
        names = ("import_s", "build_s", "first_s")
        spans = (later - earlier for earlier, later in pairwise(times))
        return {**dict(zip(names, spans, strict=True)), "first_at": times[-1], "isa": isa}

    def _burst(self, seconds: float) -> dict[str, Any]:
        assert self._run is not None
        time.sleep(PAUSE)
        end = time.monotonic() + min(AWAKE, seconds)
        taken = 0.0
        while time.monotonic() + taken < end:
            start = time.monotonic()
            self._run()
            taken = time.monotonic() - start
        times, joules = self._meter.around(lambda: self._counted(seconds))
        return {
            "wall": [wall for wall, _ in times],
            "cpu": [cpu for _, cpu in times],
            "joules": joules,
            "peak": _peak(),
            "device_peak": gpu.memory(os.getpid()) if self._on_gpu else None,
        }

    def _counted(self, seconds: float) -> list[tuple[float, float]]:
        """Runs for so many seconds, at least one: the clock's seconds and the processor's."""
        assert self._run is not None
        times: list[tuple[float, float]] = []
        end = time.monotonic() + seconds
        while not times or (time.monotonic() + times[-1][0] < end and len(times) < MOST_RUNS):
            wall, cpu = time.perf_counter(), time.process_time()
            self._run()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        return times


def _forget_peak() -> None:
    """Let the kernel count this process's most memory anew."""
    with suppress(OSError):  # no Linux, or not allowed: the peak is the whole process's
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int | None:
    """Bytes of memory that this process has held at most; None where nobody says."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), None)


def main() -> None:
    """Be a worker."""
    serve(Stand(Contestant(**json.loads(sys.argv[1]))).answer)


if __name__ == "__main__":
    main()
