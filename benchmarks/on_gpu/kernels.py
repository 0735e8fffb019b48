"""Kernels of `sr-x4-tiny` against PyTorch eager and compiled, right first, then timed in turns.

    python -m on_gpu.kernels --out OUT

All are recorded graphs, after a write that empties the L2 cache. "compiled" is max-autotune over
channels_last (convolutions by cuDNN or Triton, as it finds faster); attention is compiled twice,
as the reference writes it and on PyTorch's own fused attention.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from imagen_fast.kernels.triton.device import architecture

from imagen_fast.models.blocks import AttentionBlock
from imagen_fast.spec import preset
from on_gpu import cases, timing
from on_gpu.cases import Case
from on_gpu.layers import Layer, layers
from on_gpu.part import DTYPES, Part

SECONDS = 0.6  # of a layer's turns


def compiled(run: Callable[[], Any], part: Part) -> Callable[[], Any]:
    options: dict[str, Any] = {"backend": "eager"}
    if not part.dry:
        options = {"mode": "max-autotune-no-cudagraphs"}  # ours are recorded as everyone's
    return torch.compile(run, dynamic=False, **options)


def peers(case: Case, dtype: torch.dtype, part: Part) -> dict[str, Callable[[], Any]]:
    """Name → function without arguments, the dearest to prepare last."""
    found = {"eager": case.theirs(dtype), "compiled": compiled(case.theirs(dtype), part)}
    block = case.module
    if isinstance(block, AttentionBlock):
        fused = cases.WithSdpa(case.layer.channels, block.head_dim, block.window, block.shift)
        fused.load_state_dict(block.state_dict())
        fused = fused.to(part.device).requires_grad_(False)
        found["compiled with SDPA"] = compiled(case.theirs(dtype, fused), part)
    return found


def measured(layer: Layer, dtype: torch.dtype, part: Part) -> dict[str, Any]:
    """Errors of all, and microseconds of those that are right."""
    case = cases.make(layer, dtype, part.device)
    runs: dict[str, Callable[[], Any]] = {"triton": lambda: case.ours(None)}
    if layer.kernel in cases.MODULES:
        plain = cases.default_config(case, architecture(part.device))
        runs["triton, default sizes"] = lambda: case.ours(plain)
    if part.compiles:
        for run in runs.values():
            run()
        return {}
    truth, theirs = case.theirs(torch.float64)(), case.theirs(dtype)()
    errors, ready = {}, {}
    failed = {}
    for name, run in (runs | peers(case, dtype, part)).items():
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
            found = layers(preset("tiny", 4), *size)
            if part.dry:
                found = dict(list(found.items())[1:3])
            # The largest share of a picture's time first.
            order = sorted(found, key=lambda x: -found[x] * x.channels * x.size[1] * x.size[2])
            for layer in order:
                facts = {"kernel": layer.name, "size": layer.size, "count": found[layer]}
                work = partial(measured, layer, DTYPES[name], part)
                part.attempt(work, what="kernel", dtype=name, **facts)
    return int(part.failed)


if __name__ == "__main__":
    sys.exit(main())
