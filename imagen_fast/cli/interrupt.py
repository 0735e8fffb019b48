"""What Ctrl-C, a job manager's or a lost connection's signal does to a command."""

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


class Interruptible(AbstractContextManager["Interruptible"]):
    """Within it SIGINT, SIGTERM and SIGHUP end the process here and now, after `summary` and with
    the exit code that shells give for the signal. No file is left unfinished.

    A command that has something to wait for sets `patient`: then the first signal is only kept,
    and `heed`, called where it can stop, raises KeyboardInterrupt. A second one ends the process.

    Nothing is raised wherever a signal happens to come: Python drops what is raised while an
    object is removed, and C++ (PyTorch's import is an example) ends the process by it.

    What is ignored from outside (`nohup`) stays ignored. Does nothing outside the main thread,
    where Python delivers no signals.

    Args:
        summary: called before the end.
        said: the last line.

    Attributes:
        patient: see above.
    """

    def __init__(
        self, summary: Callable[[], object] = lambda: None, said: str = "interrupted"
    ) -> None:
        self.patient = False
        self._number: int | None = None  # of the signal that came last
        self._summary, self._said = summary, said
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruptible:
        if threading.current_thread() is threading.main_thread():
            for number, usual in _USUAL.items():
                if signal.getsignal(number) == usual:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def _take(self, number: int, frame: FrameType | None) -> None:
        first, self._number = self._number is None, number
        if not (first and self.patient):
            self.end()

    def heed(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self._number is not None:
            raise KeyboardInterrupt

    def end(self) -> NoReturn:
        """Say how it ended, as far as that can be said in the middle of anything, and `leave`."""
        if threading.current_thread() is threading.main_thread():
            for number in _USUAL:
                signal.signal(number, signal.SIG_IGN)
        for say in (self._summary, lambda: click.echo(self._said, err=True)):
            with suppress(Exception):  # such as of a line that was just being printed
                say()
        leave(128 + (self._number or signal.SIGINT))

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def all_or_nothing() -> Interruptible:
    """For a command that writes its file as a whole."""
    return Interruptible(said="interrupted: nothing was written")


def stopped_by(number: int) -> NoReturn:
    """End a command that has stopped its work in order, since the signal of this number came."""
    click.echo("interrupted", err=True)
    raise click.exceptions.Exit(128 + number)


def leave(code: int) -> NoReturn:
    """End the process now, without the threads that decode or encode, and without their files.

    A codec cannot be stopped, and Python waits for every thread before it ends: for minutes.
    """
    atomic.discard_all()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
