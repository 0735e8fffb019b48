"""How fast this version is beside that of another environment: in turns, here and now.

    python benchmarks/regression.py ../before/.venv/bin/python [SECONDS]

Checks that both give the same picture, and prints ratios of medians and of the fastest quarters,
new / old. In turns is what holds on a machine that others use as well.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.timing import Summary, in_turns

MODEL, SIZES, PRECISIONS = "sr-x4-tiny", (64, 256), ("bf16", "fp32")
# Public calls alone, so that any commit's package can answer: writes its picture, then for every
# line that it reads runs once and says how many milliseconds that took.
ENGINE = """
import sys, time, numpy as np, imagen_fast
model, precision, images, output = sys.argv[1:]
engine, x = imagen_fast.load(model, backend="native", precision=precision), np.load(images)
np.save(output, engine.run(x))
for _ in sys.stdin:
    start = time.perf_counter()
    engine.run(x)
    print(1e3 * (time.perf_counter() - start), flush=True)
"""


def turn(child: subprocess.Popen[str]) -> list[float]:
    print(file=child.stdin)
    return [float(child.stdout.readline())]


def compare(programs: dict[str, str], size: int, precision: str, seconds: float) -> None:
    """Print how long each of the Pythons "new" and "old" takes for a picture."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        np.save(images := folder / "images.npy", pictures(1, size))
        bursts = {}
        for name, program in programs.items():
            line = [program, "-c", ENGINE, MODEL, precision, images, folder / f"{name}.npy"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            child = stack.enter_context(subprocess.Popen(line, bufsize=1, **pipes))
            bursts[name] = partial(turn, child)
            bursts[name]()  # loads the model, and does not count
        _, wrong = check(*(np.load(folder / f"{name}.npy") for name in programs), precision)
        if wrong:
            sys.exit(f"{size}² {precision}: another picture, {wrong}")
        samples = in_turns(bursts, seconds, most=10**6)
    new, old = (Summary.of(samples[name]) for name in programs)
    print(
        f"{size:5}² {precision}: {old.p50:8.2f} → {new.p50:8.2f} ms, {new.p50 / old.p50:.3f} of "
        f"the medians, {new.p25 / old.p25:.3f} of the fastest quarters"
    )


if __name__ == "__main__":
    python, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    cases = list(product(SIZES, PRECISIONS))
    for size, precision in cases:
        compare({"new": sys.executable, "old": python}, size, precision, seconds / len(cases))
