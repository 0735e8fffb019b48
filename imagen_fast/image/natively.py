"""What changes results in place, by the native engine where it was built."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from imagen_fast.samples import Samples

try:
    from imagen_fast import _native
except ImportError:  # not built
    _native = None  # type: ignore[assignment]


class Natively:
    """A function of tiles (N, H, W, 3) and output (N, s·H, s·W, 3), uint8 or float32.

    The native engine has one of the same name with the same results, shared by `threads`.

    Attributes:
        by_numpy: the function itself.
    """

    def __init__(self, by_numpy: Callable[[Samples, Samples], None]) -> None:
        self.by_numpy = by_numpy
        functools.update_wrapper(self, by_numpy)

    def __call__(self, tiles: Samples, output: Samples, threads: int = 1) -> None:
        """Change the output in place; up to `threads` threads share what is large."""
        if _native is None:
            self.by_numpy(tiles, output)
        else:
            native = getattr(_native, self.by_numpy.__name__)
            native(np.ascontiguousarray(tiles), output, threads)
