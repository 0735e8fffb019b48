"""A process of its own that answers requests."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from imagen_fast.errors import BenchmarkError

LAST_WORDS = 300  # characters of what a process wrote before it ended
C = TypeVar("C", bound="Child")


class Child:
    """A fresh Python that calls `answer` for each request. A context manager; leaving it ends it.

    What the process and its libraries print goes to a file, of which an error shows the end.

    Args:
        answer: of a module, as multiprocessing wants it.

    Attributes:
        started: `time.monotonic()` at which the process was asked for.
    """

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._log = tempfile.NamedTemporaryFile()  # noqa: SIM115 (open as long as the process)
        self._pipe, theirs = context.Pipe()
        self.started = time.monotonic()
        self._process = context.Process(
            target=_serve, args=(answer, theirs, self._log.name), daemon=True
        )
        self._process.start()
        self.pid = self._process.pid
        theirs.close()

    def ask(self, request: Any, seconds: float) -> Any:
        """The answer to a request.

        Raises:
            BenchmarkError: the process failed, ended, or took longer than `seconds`, after which
                it is ended.
        """
        try:
            self._pipe.send(request)
            if not self._pipe.poll(seconds):
                self.close()
                raise BenchmarkError(f"no answer within {seconds:.0f} s")
            answer, error = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            text = " ".join(self._log.read().decode(errors="replace").split())
            code = self._process.exitcode
            said = f"its process ended with code {code}: …{text[-LAST_WORDS:]}"
            raise BenchmarkError(said) from None
        if error:
            raise BenchmarkError(error)
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._log.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _serve(answer: Callable[[Any], Any], pipe: Connection, log: str) -> None:
    """In the child: answer every request until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((answer(request), ""))
        except Exception as error:
            reason = " ".join(str(error).split()) or "no reason given"
            pipe.send((None, f"{type(error).__name__}: {reason[:LAST_WORDS]}"))
