"""A matrix product by NumPy, which this project never changes: how fast the machine is just now.

It takes turns with the contestants. Two runs on a machine that others use as well are compared
by what their contestants took for each second that it took.
"""

from __future__ import annotations

import numpy as np

from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.runtimes import Images, Run

SIDE = 768


def ready(c: Contestant, images: Images, file: str) -> tuple[Run, str]:
    """As many threads as the environment says: see `environment`."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIDE, SIDE), np.float32) for _ in range(2))
    return lambda: a @ b, ""


def environment(threads: int) -> dict[str, str]:
    """What tells NumPy's libraries their number of threads."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return dict.fromkeys(names, str(threads))
