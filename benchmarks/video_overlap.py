"""How much of the time the threads that compute a video's frames have nothing to do.

    python benchmarks/video_overlap.py VIDEO [MODEL]

Decoding and encoding are to hide behind computing: a thread that computes should be working, or
waiting for a core, but never for a frame. Linux tells for each thread how long it ran and how long
it waited for a core (/proc/PID/task/TID/schedstat), so the rest is known on a busy machine, too.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import imagen_fast
from imagen_fast.cores import cores
from imagen_fast.image.picture import Picture
from imagen_fast.video.job import Job, Wanted
from imagen_fast.video.pipeline import Compute


class Watched:
    """A model, and the times of the thread that runs it, from its first frame to its last."""

    def __init__(self, model: Compute) -> None:
        self._model, self._first, self._last = model, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
        self.frames = 0

    def __call__(self, picture: Picture) -> Picture:
        if self.frames == 0:
            self._first = self._now()
        result = self._model(picture)
        self._last = self._now()
        self.frames += 1
        return result

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds: on the clock, on a core, waiting for one."""
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        ran, waited, _ = map(int, path.read_text().split())
        return time.perf_counter(), ran / 1e9, waited / 1e9

    def idle(self) -> float:
        """The part of the time in which it waited for something else than a core."""
        whole, ran, waited = (b - a for a, b in zip(self._first, self._last, strict=True))
        return (whole - ran - waited) / (ran + (whole - ran - waited))


def main(source: str, model: str = "sr-x2") -> None:
    """Measure and print."""
    count = cores()
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        engines = [stack.enter_context(imagen_fast.load(model, threads=1)) for _ in range(count)]
        watched = [Watched(engine) for engine in engines]
        output = Path(folder) / "made.mkv"
        wanted = Wanted(Path(source), output, engines[0].scale, threads=count)
        job = stack.enter_context(Job(wanted))
        before = _processor_time()
        frames = job.run(watched, {}, lambda kept: None)
        spent = _processor_time() - before
    idle = [one.idle() for one in watched]
    print(f"{frames} frames, {spent:.1f} s of processor time, {spent / frames:.3f} s a frame")
    print("idle, of the time on a core or idle:", ", ".join(f"{part:.1%}" for part in idle))
    print(f"{count / (spent / frames):.2f} frames a second on {count} cores if none is ever idle")


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(*sys.argv[1:])
