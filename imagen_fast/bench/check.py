"""Verify, then time: who computes something else than the network gets no time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from imagen_fast.export.verify import WORST
from imagen_fast.metrics import psnr


def check(
    output: NDArray[np.float32], truth: NDArray[np.float32], precision: str
) -> tuple[float | None, str]:
    """PSNR in dB to the truth, None if they are equal; and what is wrong, "" if nothing is.

    What its precision's rounding explains is right: `export.verify.WORST`.
    """
    if output.shape != truth.shape:
        return None, f"gives {output.shape}; expected {truth.shape}"
    found, worst = psnr(output, truth), WORST[precision]
    rounded = round(found, 2) if math.isfinite(found) else None
    if found >= worst:
        return rounded, ""
    seen = f"{found:.1f} dB" if rounded is not None else "not finite"
    return rounded, f"{seen} to the answer; expected {worst:.0f} dB or more"
