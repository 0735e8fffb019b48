"""Kernels of `sr-x4-tiny` against PyTorch eager and compiled, right first, then timed in turns.

    python -m on_gpu.kernels --out OUT

All are recorded graphs, after a write that empties the L2 cache. "compiled" is max-autotune over
channels_last (convolutions by cuDNN or Triton, as it finds faster).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from imagen_fast.graph import network
from imagen_fast.spec import preset
from on_gpu import cases, timing
from on_gpu.layers import Layer, layers
from on_gpu.part import DTYPES, Part

SECONDS = 0.6  # of a layer's turns


def compiled(run: Callable[[], Any], part: Part) -> Callable[[], Any]:
    options: dict[str, Any] = {"backend": "eager"}
    if not part.dry:
        options = {"mode": "max-autotune-no-cudagraphs"}  # ours are recorded as everyone's
    return torch.compile(run, dynamic=False, **options)


def measured(layer: Layer, name: str, part: Part) -> dict[str, Any]:
    """Errors of all, and microseconds of those that are right."""
    case, dtype = cases.make(layer, name, part.device), DTYPES[name]
    truth, theirs = case.theirs(torch.float64)(), case.theirs(dtype)()
    errors, ready = {}, {}
    failed = {}
    eager = case.theirs(dtype)
    runs = {"triton": case.ours, "eager": eager, "compiled": compiled(eager, part)}
    for name, run in runs.items():
        try:
            errors[name] = timing.errors(run(), theirs, truth)
            if errors[name]["ok"] or "triton" not in name:
                ready[name] = timing.recorded(run, part.device)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    rounds = 1 if part.dry else timing.MOST_ROUNDS
    samples = timing.in_turns(ready, part.device, SECONDS, rounds)
    medians = {name: timing.median(taken) for name, taken in samples.items()}
    torch._dynamo.reset()
    return {
        "ok": errors.get("triton", {}).get("ok", False),
        "bytes": case.bytes,
        "flops": case.flops,
        "errors": errors,
        "failed": failed,
        "median_us": medians,
        "samples_us": samples,
    }


def main() -> int:
    part = Part(__doc__)
    size = (1, 3, 5) if part.dry else (1, 512, 512)
    with torch.inference_mode():
        for name in part.dtypes:
            found = layers(network(preset("tiny", 4)), *size)
            if part.dry:
                found = dict(list(found.items())[1:3])
            # The largest share of a picture's time first.
            order = sorted(found, key=lambda x: -found[x] * x.pixels)
            for layer in order:
                facts = {"kernel": layer.name, "size": layer.size, "count": found[layer]}
                work = partial(measured, layer, name, part)
                part.attempt(work, what="kernel", dtype=name, **facts)
    return part.finish()


if __name__ == "__main__":
    sys.exit(main())
