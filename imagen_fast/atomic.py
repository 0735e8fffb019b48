"""Files that are there whole or not at all.

A file is written as `.imagen-fast-….part` in the folder of its name, which it takes at the end.
Its writer holds a lock on it, so that what a killed process left behind can be told from what
another process is writing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PART = re.compile(r"\.imagen-fast-[0-9a-f]{16}\.part")
_parts: set[Path] = set()  # that this process is writing
_scratch: set[Path] = set()  # folders that it needs no longer than a block


class Part:
    """A file in the making. Call `publish` or `discard`, whatever happens; both close it.

    path     the name that it will take; a symbolic link is followed
    replace  whether it may replace a file. That file's mode bits, and its owner if this process
             may give files away, go over to the new one.

    Raises OSError if the folder cannot be written, or what is to be replaced is no file.

    Attributes:
        file: open for writing.
    """

    def __init__(self, path: Path, *, replace: bool = True) -> None:
        self._target = Path(os.path.realpath(path))
        self._replace = replace
        self._before: os.stat_result | None = None
        if replace:
            with suppress(FileNotFoundError):
                self._before = self._target.stat()
            if self._before and not stat.S_ISREG(self._before.st_mode):
                what = "a folder" if stat.S_ISDIR(self._before.st_mode) else "a device or a pipe"
                raise OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
        while True:
            # Short, whatever the length of the name, and in its folder to be renamed there.
            self._path = self._target.with_name(f".imagen-fast-{os.urandom(8).hex()}.part")
            # What replaces a private file is private from the start.
            mode = 0o600 if self._before else 0o666
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            _parts.add(self._path)  # before it is there: a signal may come in between
            try:
                self.file: BinaryIO = os.fdopen(os.open(self._path, flags, mode), "wb")
            except OSError:
                _parts.discard(self._path)
                raise
            with suppress(OSError):  # a filesystem without locks, where leftovers stay
                fcntl.flock(self.file, fcntl.LOCK_EX)
            if os.fstat(self.file.fileno()).st_nlink:
                return
            self.discard()  # taken for a leftover before it was locked

    def publish(self, *, synced: bool = False) -> None:
        """Give the file its name; `synced` waits until its content is on the disk.

        Raises OSError; FileExistsError if the name is taken and `replace` is False.
        """
        self.file.flush()
        descriptor = self.file.fileno()
        if synced:
            os.fsync(descriptor)
        os.close(os.dup(descriptor))  # where some filesystems say that the disk is full
        if self._before:
            with suppress(OSError):
                os.fchown(descriptor, self._before.st_uid, self._before.st_gid)
            with suppress(OSError):
                os.fchmod(descriptor, stat.S_IMODE(self._before.st_mode))
        if self._replace:
            self._path.replace(self._target)
        else:
            rename_to_free_name(self._path, self._target)
        self.discard()

    def discard(self) -> None:
        """Remove the file, unless it has its name already."""
        with suppress(OSError):
            self._path.unlink()
        _parts.discard(self._path)
        with suppress(OSError):
            self.file.close()


@contextmanager
def refused_as(refusal: type[Exception], path: Path) -> Iterator[None]:
    """An OSError of the block is a `refusal` that names the path and says what to do."""
    try:
        yield
    except FileExistsError as error:
        raise refusal(
            f"{path} exists: it appeared while the new one was made, and was not replaced; name "
            "another output"
        ) from error
    except OSError as error:
        raise refusal(f"{path}: cannot write: {error.strerror or error}") from error


def check(path: Path) -> None:
    """Raise OSError where no file can be written: to be called before long work."""
    try:
        Part(path).discard()
    except OSError as error:
        error.filename = str(path)
        raise


def check_not_read(target: Path, read: Iterable[object], refusal: type[Exception]) -> None:
    """Raise `refusal` where a result would replace a file that it is made of.

    read: what it is made of; what is no path is no file.
    """
    for source in read:
        with suppress(OSError):  # one of them does not exist
            if isinstance(source, str | os.PathLike) and target.samefile(source):
                raise refusal(f"{target}: the output is an input; choose another name")


def write(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file that appears under its name only when it is complete and on the disk.

    An exception, KeyboardInterrupt too, leaves nothing behind. Raises OSError, FileExistsError if
    the name is taken and `replace` is False.
    """
    try:
        part = Part(path, replace=replace)
        try:
            part.file.write(data)
            part.publish(synced=True)
        finally:
            part.discard()
    except OSError as error:
        error.filename = str(path)  # which callers know, as they do not the part's
        raise


def remove_leftovers(folder: Path) -> list[Path]:
    """Remove what killed processes left unfinished in a folder, and return the paths."""
    removed = []
    try:
        names = sorted(name for name in os.listdir(folder) if _PART.fullmatch(name))  # noqa: PTH208
    except OSError:
        return []
    for path in (folder / name for name in names):
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its writer lives
            path.unlink()
            removed.append(path)
    return removed


def tidy(folder: Path) -> None:
    """`remove_leftovers`, with a warning for each."""
    for path in remove_leftovers(folder):
        warnings.warn(f"removed {path}, left unfinished by a killed run", stacklevel=3)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for files that nobody needs after the block."""
    with tempfile.TemporaryDirectory(prefix="imagen-fast-") as name:
        folder = Path(name)
        _scratch.add(folder)
        try:
            yield folder
        finally:
            _scratch.discard(folder)


def without_scratch(text: str) -> str:
    """The text without the scratch folders that stand before names in it."""
    for folder in _scratch:
        text = text.replace(f"{folder}/", "")
    return text


def discard_all() -> None:
    """Remove every file that this process has not finished: for a process that ends at once."""
    for path in list(_parts):
        with suppress(OSError):
            path.unlink()
    for folder in list(_scratch):
        shutil.rmtree(folder, ignore_errors=True)


def rename_to_free_name(path: Path, target: Path) -> None:
    """Rename a file, or raise FileExistsError: never replace one, not even if it appears now."""
    try:
        os.link(path, target)
    except (FileExistsError, FileNotFoundError):
        raise
    except OSError:  # a filesystem without hard links
        pass
    else:
        path.unlink(missing_ok=True)
        return
    # Reserve the name, which only one process can do, then replace what reserves it.
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        path.replace(target)
    except OSError:
        target.unlink()
        raise
