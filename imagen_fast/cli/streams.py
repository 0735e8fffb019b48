"""Standard input, output and error as a command finds them: closed, full, or with no reader."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

NOBODY_READS = 141  # 128 + SIGPIPE, as shells report it


class OutputLostError(Exception):
    """Standard output takes nothing any more."""


class _Output(io.FileIO):
    """A standard stream that fails once at most; what comes after that is dropped.

    So nothing fails a second time while a command cleans up, or when the interpreter ends.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.lost: OSError | None = None

    def write(self, data: Any, /) -> Any:
        """As a file's; the whole of what is dropped counts as written."""
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
                self.failed(error)
        return len(data)

    def failed(self, error: OSError) -> None:
        """Of standard error: what a command does is not changed by what it cannot say."""


class _Result(_Output):
    def failed(self, error: OSError) -> None:
        """Of standard output, which may be what the command is for: it ends."""
        raise OutputLostError from error


@contextmanager
def prepared() -> Iterator[None]:
    """The process's standard streams, made safe to use while a command runs.

    One that is closed is as one that goes to /dev/null: no file of ours gets its number. Standard
    output that fails ends the command: in silence and with `NOBODY_READS` if it is a pipe whose
    reader has gone, else with a line on standard error and exit code 1. Does nothing where somebody
    has put other streams in the place of the process's.
    """
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        yield
        return
    _open_what_is_closed()
    raw = _Result(1)
    sys.stdout = _text(io.BufferedWriter(raw), sys.stdout)
    # No buffer: an interrupt just after a line is written would leave it there, for another time.
    sys.stderr = _text(_Output(2), sys.stderr)
    try:
        yield
    except SystemExit:
        _flush()
        if raw.lost is None:
            raise
    except OutputLostError:
        pass
    else:
        _flush()
    if raw.lost is None:
        return
    if raw.lost.errno == errno.EPIPE:
        sys.exit(NOBODY_READS)
    print(f"error: standard output cannot be written: {raw.lost.strerror}", file=sys.stderr)
    sys.exit(1)


def _open_what_is_closed() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(descriptor, True)


def _text(binary: Any, before: Any) -> io.TextIOWrapper:
    """As Python had opened it, if it had, but for characters that a terminal may lack."""
    return io.TextIOWrapper(
        binary,
        encoding=before.encoding if before else "utf-8",
        errors="replace",
        line_buffering=before.line_buffering if before else True,
        write_through=before.write_through if before else False,
    )


def _flush() -> None:
    with suppress(OutputLostError):  # its stream remembers why
        sys.stdout.flush()
