"""How much of the time the threads that compute a video's frames have nothing to do.

    python benchmarks/video_overlap.py VIDEO [MODEL]

Decoding and encoding are to hide behind computing: a thread that computes should be working, or
waiting for a core, but never for a frame. Linux tells for each thread how long it ran and how long
it waited for a core (/proc/PID/task/TID/schedstat), so the rest is known on a busy machine, too.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

import imagen_fast
from imagen_fast.cores import cores
from imagen_fast.image.picture import Picture
from imagen_fast.video.job import Job, Wanted


def main(source: str, model: str = "sr-x2") -> None:
    """Measure and print."""
    count, times = cores(), dict[int, list[list[float]]]()

    def watched(engine: imagen_fast.Engine, picture: Picture) -> Picture:
        """Seconds of the thread go to `times`: on the clock, on a core, waiting for one."""
        thread = threading.get_native_id()
        schedstat = Path(f"/proc/self/task/{thread}/schedstat")
        for computes in (True, False):
            ran, waited, _ = map(int, schedstat.read_text().split())
            times.setdefault(thread, []).append([time.perf_counter(), ran / 1e9, waited / 1e9])
            if computes:
                result = engine(picture)
        return result

    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        engines = [stack.enter_context(imagen_fast.load(model, threads=1)) for _ in range(count)]
        wanted = Wanted(Path(source), Path(folder) / "made.mkv", engines[0].scale, threads=count)
        job = stack.enter_context(Job(wanted))
        spent = -time.process_time()
        frames = job.run([partial(watched, engine) for engine in engines], {}, lambda kept: None)
        spent += time.process_time()
    parts = [np.subtract(of[-1], of[0]) for of in times.values()]
    idle = [(whole - ran - waited) / (whole - waited) for whole, ran, waited in parts]
    print(f"{frames} frames, {spent:.1f} s of processor time, {spent / frames:.3f} s a frame")
    print("idle, of the time on a core or idle:", ", ".join(f"{part:.1%}" for part in idle))
    print(f"{count / (spent / frames):.2f} frames a second on {count} cores if none is ever idle")


if __name__ == "__main__":
    main(*sys.argv[1:])
