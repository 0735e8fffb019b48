"""A picture on its way to its file: strips of rows go through a short queue to a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

from imagen_fast.image.write import Writer
from imagen_fast.samples import Samples

# Seconds that either side sleeps before it looks whether the other one, or the user, has given up.
PATIENCE = 0.2


T = TypeVar("T")


def arrived(future: Future[T], heed: Callable[[], None]) -> T:
    """A future's result. Raises what the other thread raised, or what `heed` raises meanwhile."""
    while not wait([future], PATIENCE).done:
        heed()
    return future.result()


class _AbandonedError(Exception):
    """Raised inside the writer's `with`, so that it removes what it has written."""


class Saving:
    """Encodes one picture on a thread while its later rows are still computed.

    At most one strip waits while another is encoded: a slow disk slows the computing down, and
    memory does not grow. The file appears under its name only after `put(None)`, and only if
    nothing failed. `writer` is entered on the thread.

    What both sides touch is C: a KeyboardInterrupt inside of Python's own queues and conditions can
    leave their lock taken, and the thread would wait for it forever.
    """

    def __init__(self, writer: AbstractContextManager[Writer]) -> None:
        self._writer = writer
        self._strips: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()
        self._full = threading.Lock()  # taken while a strip waits
        self._abandoned = self._through = False
        self._written: Future[None] | None = None

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Begin, as soon as `pool` has a free thread."""
        self._written = pool.submit(self._write)

    def put(self, rows: Samples | None, heed: Callable[[], None] = lambda: None) -> None:
        """Hand on the next (h, W, C) rows, or None after the last ones.

        Raises what the writer raised, if it did, or what `heed` raises, which is called while it
        waits.
        """
        while not self.finished:
            if self._full.acquire(timeout=PATIENCE):
                self._strips.put(rows)
                return
            heed()
        self.wait()

    def abandon(self) -> None:
        """Give the picture up: no file is left. Never waits, so that Ctrl-C is heard at once."""
        self._abandoned = True

    @property
    def finished(self) -> bool:
        """Whether the thread is through with the picture, well or not."""
        return self._through

    def wait(self, heed: Callable[[], None] = lambda: None) -> None:
        """Wait until the file is complete. Raises as `put`."""
        assert self._written is not None, "wait() before start()"
        arrived(self._written, heed)

    def _write(self) -> None:
        try:
            with suppress(_AbandonedError), self._writer as writer:
                for rows in self._arriving():
                    writer.write(rows)
        finally:
            self._through = True

    def _arriving(self) -> Iterator[Samples]:
        while True:
            if self._abandoned:
                raise _AbandonedError
            try:
                rows = self._strips.get(timeout=PATIENCE)
            except queue.Empty:
                continue
            self._full.release()
            if rows is None:
                return
            yield rows
