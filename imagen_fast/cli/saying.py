"""What goes on, told on standard error while it does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def saying(quiet: bool) -> Iterator[Callable[[str], None]]:
    """What tells it: in one line that changes on a terminal, else line by line."""
    if quiet:
        yield lambda text: None
    elif not sys.stderr.isatty():
        yield lambda text: click.echo(f"{text} …", err=True)
    else:
        from rich.console import Console

        with Console(stderr=True).status("starting") as status:
            yield lambda text: status.update(text)
