"""A bundle with GPU kernels in a program in C++: right, and how fast beside the backend `triton`.

    python -m on_gpu.embedded --out OUT

"cold" is the whole program for one picture, from start to end. Program and bundle: `program`.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import torch
from imagen_fast.export.verify import WORST

from imagen_fast.backends.triton import Triton
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.metrics import psnr
from on_gpu import timing
from on_gpu.end_to_end import MODEL, expected
from on_gpu.part import Part
from on_gpu.program import enlarge

PLACES = ((1, 256), (1, 512), (1, 1024), (8, 512))
ROUNDS = 100


def measured(
    count: int, side: int, precision: str, part: Part, backend: Triton | None
) -> dict[str, Any]:
    tiles = (pictures(count, side) * 255).round().astype(np.uint8)
    given, out = part.out / "in.bin", part.out / "out.bin"
    given.write_bytes(tiles.tobytes())
    rounds = 2 if part.dry else ROUNDS
    program = partial(enlarge, precision, (count, side, side), given=given, out=out)
    each = partial(timing.in_turns, device=torch.device("cpu"), seconds=3.0, rounds=rounds)
    before = each({"triton": lambda: backend.run(tiles)}) if backend else {"triton": []}
    load, first, *samples = program(rounds)[0]
    after = each({"triton": lambda: backend.run(tiles)}) if backend else {"triton": []}
    cold = [program(0)[1] for _ in range(1 if part.dry else 5)]
    scale = load_bundle(resolve(MODEL)).spec.scale
    output = np.fromfile(out, np.uint8).reshape(count, scale * side, scale * side, 3)
    accuracy = psnr(output / np.float32(255), expected(tiles, part))
    taken = {"triton": before["triton"] + after["triton"], "embedded": samples}
    return {
        "psnr": accuracy,
        "ok": part.dry or accuracy > WORST[precision],
        "load_ms": load,
        "first_ms": first,
        "cold_ms": [round(x, 1) for x in cold],
        "samples_us": taken,
        "median_us": {name: timing.median(x) for name, x in taken.items() if x},
    }


def main() -> int:
    part = Part(__doc__)
    with torch.inference_mode():
        for precision in part.dtypes:
            # Its interpreter would take minutes, and what it says is in another part.
            backend = None if part.dry else Triton(
                load_bundle(resolve(MODEL)), device="cuda", precision=precision
            )  # fmt: skip
            for count, side in ((1, 4),) if part.dry else PLACES:
                work = partial(measured, count, side, precision, part, backend)
                part.attempt(work, what="embedded", batch=count, side=side, dtype=precision)
    return int(part.failed)


if __name__ == "__main__":
    sys.exit(main())
