"""What the GPU can do at most, measured: GFLOP/s of matrix products, GB/s read and written."""

from __future__ import annotations

import sys
from typing import Any

import torch

from on_gpu import timing
from on_gpu.part import DTYPES, Part


def ceilings(part: Part) -> dict[str, Any]:
    """The fastest run counts: the machine's limit, not its mood."""
    seconds, side, bytes_ = (0.01, 64, 1 << 20) if part.dry else (1.0, 8192, 1 << 30)
    gflops = {}
    for name, dtype in DTYPES.items():
        a = torch.randn(side, side, device=part.device).to(dtype)
        gflops[name] = round(2e-3 * side**3 / _fastest(lambda a=a: a @ a, part, seconds), 1)
    source = torch.ones(bytes_, dtype=torch.uint8, device=part.device)
    target = torch.empty_like(source)
    copied = _fastest(lambda: target.copy_(source), part, seconds)
    return {"gflops": gflops, "bandwidth": round(2e-3 * bytes_ / copied, 2)}


def _fastest(run: Any, part: Part, seconds: float) -> float:
    """Microseconds."""
    return min(timing.in_turns({"run": run}, part.device, seconds, flush=False)["run"])


def main() -> int:
    part = Part(__doc__)
    part.attempt(lambda: ceilings(part), what="ceilings")
    return part.finish()


if __name__ == "__main__":
    sys.exit(main())
