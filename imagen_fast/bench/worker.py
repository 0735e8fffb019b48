"""The process of one contestant: makes its network ready, and runs it when it is asked to."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Any

import numpy as np

from imagen_fast.bench import gpu
from imagen_fast.bench.runtimes import Contestant, Images, Run, find
from imagen_fast.bench.timing import for_a_while
from imagen_fast.errors import BenchmarkError

LONGEST = 0.3  # seconds of a turn, or one run
GRACE = 60.0  # seconds that one run may take
HEED = 0.1  # seconds after which a signal is heeded, at most
LAST_WORDS = 300  # characters of what a process wrote before it ended


@dataclass(frozen=True)
class Readiness:
    """What the first run for one shape of input gave: (N, s·H, s·W, 3) float32 in [0, 1]; the
    instruction set; and seconds since the process began, at the first shape.
    """

    output: Images
    isa: str
    seconds: float


class Worker:
    """A contestant's process, a fresh Python, as others see it; a context manager that ends it.

    All methods raise BenchmarkError: something failed there, the process ended, or it took longer
    than so many seconds, after which it is ended. What the process and its libraries print goes to
    a file, of which an error shows the end.

    `heed` is called while an answer is waited for, and may raise.
    """

    def __init__(self, c: Contestant, heed: Callable[[], object] = lambda: None) -> None:
        self._contestant = c
        self._heed: Callable[[], object] = lambda: None  # before it can be ended
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 (open as long as the process)
        self._started, self._first_at = time.monotonic(), 0.0
        self._pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_begin, initargs=(self._log.name,)
        )
        self.pid: int = self.ask(GRACE, os.getpid)
        self._heed = heed

    def ask(self, seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a module's function answers there."""
        if self._log.closed:
            raise BenchmarkError("its process has ended")
        try:
            answer, error = self._wait(self._pool.submit(_answered, function, *arguments), seconds)
        except TimeoutError:
            self.close()
            raise BenchmarkError(f"no answer within {seconds:.0f} s") from None
        except BrokenProcessPool:
            self._log.seek(0)
            text = " ".join(self._log.read().decode(errors="replace").split())
            self._left()
            raise BenchmarkError(f"its process ended: …{text[-LAST_WORDS:]}") from None
        if error:
            raise BenchmarkError(error)
        return answer

    def _wait(self, future: Future[tuple[Any, str]], seconds: float) -> tuple[Any, str]:
        until = time.monotonic() + seconds
        while True:
            self._heed()
            left = max(0.0, until - time.monotonic())
            try:
                return future.result(min(left, HEED))
            except TimeoutError:
                if left <= HEED:
                    raise

    def prepare(self, images: Images, file: str | Path, seconds: float) -> Readiness:
        """Make ready for images (N, H, W, 3) float32, and run them once.

        `file` is what the runtime reads.
        """
        with tempfile.NamedTemporaryFile(suffix=".npy") as output:
            asked = (self._contestant, images, str(file), output.name)
            isa, at = self.ask(seconds, _prepare, *asked)
            self._first_at = self._first_at or at
            return Readiness(np.load(output.name), isa, self._first_at - self._started)

    def burst(self) -> list[float]:
        """Milliseconds of each run of a turn."""
        found: list[float] = self.ask(2 * LONGEST + 3 * GRACE, _burst)
        return found

    def memory(self) -> tuple[int | None, int | None]:
        """Most bytes since it was last made ready, and bytes on GPUs; None where nobody says."""
        on_gpu = self._contestant.device != "cpu"
        peak: int | None = self.ask(GRACE, _peak)
        return peak, gpu.memory(self.pid) if on_gpu else None

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if not self._log.closed:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._left()

    def _left(self) -> None:
        """It is there no more, and its number may become another's."""
        self._pool.shutdown()
        self._log.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# From here on: in the process itself.


def _begin(log: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    # What a library here takes of the system (torch.compile's locks) is given back by a process of
    # our own: the parent's would call it a leak, since this process is killed and never ends.
    resource_tracker._resource_tracker._fd = None  # type: ignore[attr-defined]
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Else a parent that is killed would leave its contestants waiting for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _answered(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """The answer, or an error in words: an exception of another library may not travel."""
    try:
        return function(*arguments), ""
    except Exception as error:
        reason = " ".join(str(error).split()) or "no reason given"
        return None, f"{type(error).__name__}: {reason[:LAST_WORDS]}"


_ready: list[Run] = []  # a network at a time


def _prepare(c: Contestant, images: Images, file: str, output: str) -> tuple[str, float]:
    _ready.clear()
    gc.collect()
    with suppress(OSError):  # no Linux, or not allowed: the peak is the whole process's
        Path("/proc/self/clear_refs").write_text("5")
    run, isa = find(c.runtime).ready(c, images, file)
    result, at = run(), time.monotonic()
    _ready.append(run)
    # In a file, since a message would be a copy of it in this process's memory.
    np.save(output, np.ascontiguousarray(result, np.float32))
    return isa, at


def _burst() -> list[float]:
    return list(for_a_while(_ready[0], LONGEST)())


def _peak() -> int | None:
    """Bytes of memory that this process has held at most; None where nobody says."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), None)
