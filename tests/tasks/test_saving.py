"""A picture on its way to its file, and interrupts meanwhile."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import FrameType, SimpleNamespace

import numpy as np
import pytest

from imagen_fast.tasks.saving import Saving

ROWS = np.zeros((4, 4, 3), np.uint8)


class Pool:
    """A pool's `submit`, on a thread that no test has to wait for."""

    def submit(self, call: Callable[[], None]) -> "Future[None]":
        self.thread = threading.Thread(target=call, daemon=True)
        self.thread.start()
        return Future()


@contextlib.contextmanager
def interrupted_after(calls: int) -> Iterator[None]:
    """Raise KeyboardInterrupt as soon as this many calls of C functions have returned."""
    seen = 0

    def look(frame: FrameType, event: str, argument: object) -> None:
        nonlocal seen
        seen += event == "c_return"
        if seen == calls:
            raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield
    finally:
        sys.setprofile(before)


def test_wherever_an_interrupt_comes_the_thread_ends() -> None:
    """Also where a lock has just been taken, which is where Python looks for signals."""
    for calls in range(1, 100):
        pool = Pool()
        saving = Saving(contextlib.nullcontext(SimpleNamespace(write=lambda rows: None)))
        saving.start(pool)  # type: ignore[arg-type]
        try:
            with interrupted_after(calls):
                saving.put(ROWS)
        except KeyboardInterrupt:
            pass
        else:
            break
        saving.abandon()
        pool.thread.join(5)
        assert not pool.thread.is_alive(), f"interrupted after call {calls}"
    else:
        pytest.fail("never came through")
    assert calls > 2  # the lock, and the queue
    saving.abandon()
    pool.thread.join(5)
    assert saving.finished
