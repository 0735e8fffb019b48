"""Every request to end is a KeyboardInterrupt: Ctrl-C, a job manager's, a lost connection's."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import AbstractContextManager, suppress
from types import FrameType
from typing import Any, NoReturn

import click

from imagen_fast import atomic


class Ended(KeyboardInterrupt):
    """SIGTERM or SIGHUP came.

    Not KeyboardInterrupt itself: a process in which that once left an evaluated string (a NumPy or
    dataclass definition is one) is ended by Python as by SIGINT, whatever exit code it asked for.
    """


class Interruptible(AbstractContextManager["Interruptible"]):
    """Within it SIGTERM and SIGHUP raise `Ended`, a KeyboardInterrupt as SIGINT's is.

    What is ignored from outside (`nohup`) stays ignored. Does nothing outside the main thread,
    where Python delivers no signals.

    Attributes:
        number: of the signal that came, SIGINT's if none of the others did.
    """

    def __init__(self) -> None:
        self.number: int = signal.SIGINT
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptible:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) == signal.SIG_DFL:
                    self._before[number] = signal.signal(number, self._raise)
        return self

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        raise Ended

    def ignore(self) -> None:
        """From now on nothing interrupts any more: the process is about to `leave`."""
        self._before.clear()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class AllOrNothing(Interruptible):
    """As `Interruptible`, of a command that writes its file as a whole: interrupted it has written
    nothing, says so, and ends with the exit code that shells give for the signal.
    """

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        if isinstance(exception[1], KeyboardInterrupt):
            click.echo("interrupted: nothing was written", err=True)
            click.get_current_context().exit(128 + self.number)


def leave(code: int) -> NoReturn:
    """End the process now, without the threads that decode or encode, and without their files.

    A codec cannot be stopped, and Python waits for every thread before it ends: for minutes.
    """
    atomic.discard_all()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
