"""How many cores there are for this process."""

from __future__ import annotations

import os
import warnings


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warn_of_more(threads: int | None) -> None:
    """Warn (RuntimeWarning) if so many threads share fewer cores; None chooses by itself."""
    if threads is not None and threads > (there := cores()):
        count = "1 core" if there == 1 else f"{there} cores"
        warnings.warn(
            f"{threads} threads on {count} are slower than {there}; leave their number out",
            RuntimeWarning,
            stacklevel=3,
        )
