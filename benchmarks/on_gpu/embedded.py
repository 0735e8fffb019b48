"""A bundle with GPU kernels in a program in C++: right, and how fast beside the backend `triton`.

    python -m on_gpu.embedded --out OUT [--watched]

"cold" is the whole program for one picture, from start to end. Program and bundle: `program`. With
--watched it runs under each tool of compute-sanitizer, over a small odd shape: memcheck decides.
What the others say is to be read: they know less of copies that run beside the computation than the
hardware does. Calls of the driver that fail are none of the tools' business: the library asks the
driver what it may refuse to answer. A dry run has no tool.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import torch

from imagen_fast.backends.triton import Triton
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import load_bundle
from imagen_fast.catalogue import resolve
from on_gpu import timing
from on_gpu.end_to_end import MODEL, expected
from on_gpu.part import Part
from on_gpu.program import bundle_path, enlarge

PLACES = ((1, 256), (1, 512), (1, 1024), (8, 512))
ROUNDS = 100
TOOLS = ("memcheck", "synccheck", "initcheck", "racecheck")
SANITIZER = ("compute-sanitizer", "--report-api-errors", "no", "--error-exitcode", "9")


def measured(
    count: int, side: int, precision: str, part: Part, backend: Triton | None
) -> dict[str, Any]:
    tiles = (pictures(count, side) * 255).round().astype(np.uint8)
    given, out = part.out / "in.bin", part.out / "out.bin"
    given.write_bytes(tiles.tobytes())
    rounds = 2 if part.dry else ROUNDS
    program = partial(enlarge, precision, (count, side, side), given=given, out=out)
    cpu = torch.device("cpu")  # whose clock counts

    def beside() -> list[float]:
        runs = {"triton": lambda: backend.run(tiles)} if backend else {}
        return timing.in_turns(runs, cpu, 3.0, rounds).get("triton", [])

    before = beside()
    load, first, *samples = program(rounds)[0]
    taken = {"triton": before + beside(), "embedded": [round(1e3 * x, 1) for x in samples]}
    cold = [program(0)[1] for _ in range(1 if part.dry else 5)]
    truth = expected(tiles, part)
    output = np.fromfile(out, np.uint8).reshape(truth.shape) / np.float32(255)
    psnr, wrong = check(output, truth, precision)
    return {
        "psnr": psnr,
        "ok": part.dry or not wrong,
        "load_ms": load,
        "first_ms": first,
        "cold_ms": [round(x, 1) for x in cold],
        "samples_us": taken,
        "median_us": {name: timing.median(x) for name, x in taken.items() if x},
    }


def watched(tool: str, precision: str, part: Part) -> dict[str, Any]:
    place = (1, 3, 5) if part.dry else (2, 11, 71)
    given = part.out / "in.bin"
    given.write_bytes(np.random.default_rng(0).bytes(int(np.prod(place)) * 3))
    before = () if part.dry else (*SANITIZER, "--tool", tool)
    try:
        enlarge(precision, place, 0, given, part.out / "out.bin", *before)
    except RuntimeError as error:
        if tool == "memcheck":
            raise
        return {"said": str(error)}
    return {"ok": True} if tool == "memcheck" else {"said": ""}


def main() -> int:
    part = Part(__doc__, flags=("watched",))
    with torch.inference_mode():
        for precision in part.dtypes:
            if not bundle_path(precision).exists():
                part.add(what="embedded", dtype=precision, left_out="nothing was built in time")
                continue
            if "watched" in part.flags:
                for tool in TOOLS:
                    work = partial(watched, tool, precision, part)
                    part.attempt(work, what="program watched", tool=tool, dtype=precision)
                continue
            # Its interpreter would take minutes, and what it says is in another part.
            bundle = load_bundle(resolve(MODEL))
            backend = None if part.dry else Triton(bundle, device="cuda", precision=precision)
            for count, side in ((1, 4),) if part.dry else PLACES:
                work = partial(measured, count, side, precision, part, backend)
                part.attempt(work, what="embedded", batch=count, side=side, dtype=precision)
    return part.finish()


if __name__ == "__main__":
    sys.exit(main())
