"""One result file of a command: there whole, when everything went well, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imagen_fast import atomic
from imagen_fast.errors import ImageError, ImagenError


def check_place(
    target: Path,
    suffixes: tuple[str, ...],
    overwrite: bool,
    refusal: type[ImagenError] = ImageError,
    read: Iterable[object] = (),
) -> None:
    """Raise `refusal` where such a file cannot be written: to be called before the work.

    Its name has to end in one of `suffixes`, and it is none of those that are `read`. What killed
    runs left beside it is removed.
    """
    atomic.check_not_read(target, read, refusal)
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "a device or a pipe"
        raise refusal(f"{target}: it is {what}; expected the name of a file")
    if not target.name.lower().endswith(suffixes):
        raise refusal(f"{target}: expected a name that ends in {' or '.join(suffixes)}")
    if os.path.lexists(target) and not overwrite:
        raise refusal(f"{target} exists; name another, or replace it (--overwrite, overwrite=True)")
    if not target.parent.is_dir():
        raise refusal(f"{target}: the folder {target.parent} does not exist; create it first")
    with atomic.refused_as(refusal, target):
        atomic.check(target)
    atomic.tidy(target.parent)


@contextmanager
def whole_file(target: Path, overwrite: bool) -> Iterator[BinaryIO]:
    """A file to write, which takes its name when the block ends; an exception leaves nothing.

    Raises:
        ImageError: a file of this name appeared meanwhile, or none can be written there: the
            folder is locked, the disk is full, or the name is that of a device.
    """
    with atomic.refused_as(ImageError, target):
        part = atomic.Part(target, replace=overwrite)
        try:
            yield part.file
            part.publish(synced=True)
        finally:
            part.discard()
