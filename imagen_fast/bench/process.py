"""A process of its own that answers requests: one line of JSON in, one line of JSON out."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

from imagen_fast.errors import BenchmarkError

LAST_WORDS = 300  # characters of what a process wrote before it ended
C = TypeVar("C", bound="Child")


class Child:
    """`python COMMAND...`, which calls `serve`. A context manager; leaving it ends the process.

    What the process and its libraries print goes to a file, of which an error shows the end.

    Attributes:
        started: `time.monotonic()` at which the process was asked for.
        pid: the process's number.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        self._unread = b""
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        self.pid = self._process.pid

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            BenchmarkError: the process failed, ended, or took longer than `seconds`, after which
                it is ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._line(time.monotonic() + seconds)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self.close()
            raise BenchmarkError(f"no answer within {seconds:.0f} s") from None
        if not line:
            raise BenchmarkError(self._last_words())
        answer = cast("dict[str, Any]", json.loads(line))
        if "error" in answer:
            raise BenchmarkError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # what it was to read next
                pipe.close()
        self._process.wait()
        self._log.close()

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _line(self, deadline: float) -> bytes:
        """The next line; empty if the process has ended. Raises TimeoutError."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                more = os.read(self._process.stdout.fileno(), 1 << 16)
                if not more:
                    return b""
                self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        text = " ".join(self._log.read().decode(errors="replace").split())
        return f"its process ended with code {code}: …{text[-LAST_WORDS:]}"


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """In the child: answer every request until there are no more.

    An exception is the answer {"error": ...}. What anything prints meanwhile goes to stderr, so
    that libraries cannot write between the answers.
    """
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            try:
                given = answer(json.loads(line))
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                given = {"error": f"{type(error).__name__}: {reason[:LAST_WORDS]}"}
            print(json.dumps(given), file=out, flush=True)
