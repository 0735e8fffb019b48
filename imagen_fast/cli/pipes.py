"""`-` in the place of a picture's file: standard input, and standard output."""

from __future__ import annotations

import functools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from imagen_fast import atomic
from imagen_fast.errors import ImageError

PIPE = "-"


def piped(command: Callable[..., None]) -> Callable[..., None]:
    """A command with `inputs`, `output`, `ext` and `quiet` that knows `-` for the first two.

    Standard input is read to its end. The result is written to standard output once it is whole,
    and nothing else is.
    """

    @functools.wraps(command)
    def wrapped(
        ctx: click.Context, /, inputs: tuple[str, ...], output: Path | None, **options: Any
    ) -> None:
        reads, writes = PIPE in inputs, str(output) == PIPE
        if not reads and not writes:
            command(ctx, inputs=inputs, output=output, **options)
            return
        if reads and len(inputs) > 1:
            raise click.UsageError("standard input (-) is one picture, and no others beside it")
        if writes and len(inputs) > 1:
            raise click.UsageError(f"standard output (-o -) is for one picture, not {len(inputs)}")
        if output is None:
            raise click.UsageError("standard input has no name for a result; give -o FILE, or -o -")
        _check_streams(reads, writes)
        with atomic.scratch() as folder:
            if reads:
                given = folder / "standard input"
                with given.open("wb") as file:
                    shutil.copyfileobj(sys.stdin.buffer, file)
                inputs = (str(given),)
            if not writes:
                command(ctx, inputs=inputs, output=output, **options)
                return
            found = folder / f"result.{(options['ext'] or 'png').removeprefix('.')}"
            try:
                command(ctx, inputs=inputs, output=found, **{**options, "quiet": True})
            except click.exceptions.Exit:
                if found.exists():  # not after an error, or --dry-run
                    with found.open("rb") as file:
                        shutil.copyfileobj(file, sys.stdout.buffer)
                raise

    return wrapped


def _check_streams(reads: bool, writes: bool) -> None:
    """Raise where a picture cannot come or go: a stream is closed, or a terminal."""
    if reads and sys.stdin is None:
        raise ImageError("standard input (-) is closed; expected a picture redirected into it")
    if writes and sys.__stdout__ is None:  # `streams` has put another in its place
        raise ImageError("standard output (-o -) is closed; expected a file or a pipe")
    if reads and sys.stdin.isatty():
        raise click.UsageError("standard input (-) is a terminal; redirect a picture into it")
    if writes and sys.stdout.isatty():
        raise click.UsageError("standard output (-o -) is a terminal; redirect it to a file")
