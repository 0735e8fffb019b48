"""The libtiff that Pillow brings: what it can undo, and what it says.

It writes what it finds wrong to stderr, from C; it also says so to Pillow, which raises it. Its
handler of errors belongs to the process. So it is switched off only while files are decoded here,
and put back when the last thread is done: until then nobody else hears of errors either.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import TiffImagePlugin, _imaging


def _function(name: str, result: Any, argument: Any) -> Any:
    """A function of libtiff's; None if it is hidden."""
    try:
        found = getattr(ctypes.CDLL(_imaging.__file__), name)
    except (OSError, AttributeError):
        return None
    found.restype, found.argtypes = result, [argument]
    return found


# Sets a handler and returns the one before.
_set_handler = _function("TIFFSetErrorHandler", ctypes.c_void_p, ctypes.c_void_p)
_is_configured = _function("TIFFIsCODECConfigured", ctypes.c_int, ctypes.c_uint16)
_lock = threading.Lock()
_inside = 0  # threads that decode
_before: int | None = None


def undoes(compression: int) -> bool:
    """Whether Pillow knows a compression and libtiff was built with it."""
    known = compression in TiffImagePlugin.COMPRESSION_INFO
    return known and (_is_configured is None or bool(_is_configured(compression)))


@contextmanager
def hushed() -> Iterator[None]:
    """Inside, libtiff writes nothing to stderr."""
    global _inside, _before
    if _set_handler is None:
        yield
        return
    with _lock:
        if not _inside:
            _before = _set_handler(None)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _set_handler(_before)
