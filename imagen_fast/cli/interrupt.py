"""Every request to end is a KeyboardInterrupt: Ctrl-C, a job manager's, a lost connection's."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import FrameType
from typing import Any, NoReturn

import click

from imagen_fast import atomic

# What these signals do where nobody has said otherwise.
_USUAL: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP came.

    Not KeyboardInterrupt itself: a process in which that once left an evaluated string (a NumPy or
    dataclass definition is one) is ended by Python as by SIGINT, whatever exit code it asked for.
    """


class Interruptible(AbstractContextManager["Interruptible"]):
    """Within it SIGINT, SIGTERM and SIGHUP raise a KeyboardInterrupt once; another one ends the
    process here and now, after `summary`. If there is nothing to wait for, the first one does.

    It is not raised a second time, because that may never arrive: Python drops what is raised
    while an object is removed, and inside of its own locks makes another error of it.

    What is ignored from outside (`nohup`) stays ignored. Does nothing outside the main thread,
    where Python delivers no signals.

    Attributes:
        number: of the signal that came last, SIGINT's if none did.
    """

    said = "interrupted"

    def __init__(
        self, summary: Callable[[], object] = lambda: None, *, at_once: bool = False
    ) -> None:
        self.number: int = signal.SIGINT
        self._summary, self._over = summary, at_once
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptible:
        if threading.current_thread() is threading.main_thread():
            for number, usual in _USUAL.items():
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        if self._over:
            self.end()
        self._over = True
        raise KeyboardInterrupt if number == signal.SIGINT else Ended

    def end(self) -> NoReturn:
        """Say how it ended, as far as that can be said in the middle of anything, and `leave`."""
        if threading.current_thread() is threading.main_thread():
            for number in _USUAL:
                signal.signal(number, signal.SIG_IGN)
        for say in (self._summary, lambda: click.echo(self.said, err=True)):
            with suppress(Exception):  # such as of a line that was just being printed
                say()
        leave(128 + self.number)  # as shells report it

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class AllOrNothing(Interruptible):
    """As `Interruptible`, of a command that writes its file as a whole: interrupted it has written
    nothing, says so, and ends with the exit code that shells give for the signal.
    """

    said = "interrupted: nothing was written"

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        if isinstance(exception[1], KeyboardInterrupt):
            click.echo(self.said, err=True)
            click.get_current_context().exit(128 + self.number)


def leave(code: int) -> NoReturn:
    """End the process now, without the threads that decode or encode, and without their files.

    A codec cannot be stopped, and Python waits for every thread before it ends: for minutes.
    """
    atomic.discard_all()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
