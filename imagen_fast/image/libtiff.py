"""libtiff writes what it finds wrong to stderr, from C; it also says so to Pillow, which raises it.

Its handler of errors belongs to the process. So it is switched off only while files are decoded
here, and put back when the last thread is done: until then nobody else hears of errors either.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import _imaging


def _setter() -> Any:
    """libtiff's function that sets a handler and returns the one before; None if it is hidden."""
    try:
        found = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
    except (OSError, AttributeError):
        return None
    found.restype, found.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    return found


_set_handler = _setter()
_lock = threading.Lock()
_inside = 0  # threads that decode
_before: int | None = None


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
