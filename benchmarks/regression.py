"""Is the native engine of this tree slower than another commit's? Both run in turns, in one run.

    python benchmarks/regression.py COMMIT [--seconds N] [--sizes 64,256] [--fail-above PERCENT]

builds the other commit beside this one, checks both against PyTorch, and prints ratios of medians
and of the fastest quarters, new / old. Exit code 1 if both are above the limit anywhere, or an
answer is wrong. Two files of `imagen-fast bench --json` are compared by its --compare instead; in
turns is what holds on a machine that others use as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from imagen_fast import catalogue
from imagen_fast.bench import session
from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.entrants import Options
from imagen_fast.bench.record import where
from imagen_fast.cores import cores

ROOT = Path(__file__).parents[1]
MODEL = catalogue.resolve("sr-x4-tiny")
NEW = "this tree"


def install(commit: str, folder: Path) -> Path:
    """The commit's package in a folder of its own."""
    tree, target = folder / "tree", folder / "installed"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", str(target), str(tree)], check=True)
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    return target


def main() -> None:
    """Build, measure in turns, print, judge."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sizes", default="64,256")
    parser.add_argument("--fail-above", type=float, default=10, metavar="PERCENT")
    options = parser.parse_args()
    sizes = tuple(map(int, options.sizes.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        tree = str(install(options.commit, Path(folder)))
        record = session.run(
            Options(str(MODEL), MODEL.stem, 4, cores(), device="cpu", peers=()),
            sizes=sizes,
            batches=(1,),
            seconds=options.seconds,
            contestants=[
                Contestant("native", str(MODEL), name, precision, cores(), tree=where_from)
                for precision in ("bf16", "fp32")
                for name, where_from in ((NEW, ""), (options.commit, tree))
            ],
        )
    slower = False
    for place in record.places:
        rows = {(row.network, row.precision): row for row in record.at(place)}
        for (name, precision), row in rows.items():
            if row.outcome != "timed":
                print(f"{where(place):>8} {precision}: {name} is {row.outcome}: {row.why}")
                slower |= name == NEW
        for precision in ("fp32", "bf16"):
            new, old = rows.get((NEW, precision)), rows.get((options.commit, precision))
            if new is None or old is None or not (new.samples_ms and old.samples_ms):
                continue
            here, there = new.summary, old.summary
            median, fast = here.p50 / there.p50, here.p25 / there.p25
            print(
                f"{where(place):>8} {precision}: {there.p50:8.2f} → {here.p50:8.2f} ms, "
                f"{median:.3f} of the medians, {fast:.3f} of the fastest quarters"
            )
            slower |= min(median, fast) > 1 + options.fail_above / 100
    sys.exit(1 if slower or not record.contestants else 0)


if __name__ == "__main__":
    main()
