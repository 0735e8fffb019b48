"""Is the native engine installed here slower than another version? Both run in turns, in one run.

    git worktree add ../before COMMIT && make -C ../before demo
    python benchmarks/regression.py ../before/.venv/bin/python [--seconds 60] [--sizes 64,256]

PYTHON is that of an environment in which the other version is installed. Checks that both give the
same picture, and prints ratios of medians and of the fastest quarters, new / old. Exit code 1 if
both are above --fail-above anywhere, or an answer is wrong. In turns is what holds on a machine
that others use as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.timing import Summary, in_turns

MODEL = "sr-x4-tiny"
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


def slower_by(python: str, size: int, precision: str, seconds: float) -> float:
    """Per cent by which this tree is slower for sure; infinite if its picture is another."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.save(images := folder / "images.npy", pictures(1, size))
        bursts = {}
        for name, program in (("new", sys.executable), ("old", python)):
            line = [program, "-c", ENGINE, MODEL, precision, images, folder / f"{name}.npy"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            child = stack.enter_context(subprocess.Popen(line, bufsize=1, **pipes))
            bursts[name] = partial(turn, child)
            bursts[name]()  # loads the model, and does not count
        outputs = [np.load(folder / f"{name}.npy") for name in ("new", "old")]
        psnr, wrong = check(*outputs, precision)
        samples = in_turns(bursts, seconds, most=10**6)
    new, old = Summary.of(samples["new"]), Summary.of(samples["old"])
    median, fastest = new.p50 / old.p50, new.p25 / old.p25
    print(
        f"{size:5}² {precision}: {old.p50:8.2f} → {new.p50:8.2f} ms, {median:.3f} of the medians, "
        f"{fastest:.3f} of the fastest quarters; {wrong or (f'{psnr} dB' if psnr else 'equal')}"
    )
    return np.inf if wrong else 100 * (min(median, fastest) - 1)


def main() -> None:
    """Build, measure in turns, print, judge."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sizes", default="64,256")
    parser.add_argument("--fail-above", type=float, default=10, metavar="PERCENT")
    options = parser.parse_args()
    cases = [(int(n), kind) for n in options.sizes.split(",") for kind in ("bf16", "fp32")]
    each = options.seconds / len(cases)
    slower = [slower_by(options.python, size, kind, each) for size, kind in cases]
    sys.exit(1 if max(slower) > options.fail_above else 0)


if __name__ == "__main__":
    main()
