"""A lock that is free in a child process, whoever held it when the process forked."""

from __future__ import annotations

import os
import threading
import weakref


class Turn:
    """Lets one thread in at a time; a context manager, not reentrant.

    Of a process's threads its child has only the one that called `os.fork`: a turn that this one
    had stays its own, one that another had is free in the child.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None
        _turns.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *exc: object) -> None:
        self._holder = None
        self._lock.release()


_turns: weakref.WeakSet[Turn] = weakref.WeakSet()


def _free_those_of_other_threads() -> None:
    for turn in _turns:
        if turn._holder != threading.get_ident():
            turn._lock, turn._holder = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_those_of_other_threads)
