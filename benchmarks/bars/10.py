"""Other people's networks on the native engine, beside the runtimes that they came from.

    python benchmarks/bars/10.py FILE ... [--isa amx|avx512|avx2] [--loaded] [--sizes]

Every FILE (ONNX beside OpenVINO, `.param` beside ncnn) runs on both sides in turns at 256², with 2
threads, in bf16 where the instruction set has it, and is judged by the bar that its name has.
--sizes adds what a pixel of the first FILE and of sr-x4-tiny costs from 256² to 4096², untiled.
--loaded is for a machine that does other things meanwhile: one thread, its processor time, and the
least of each. On AVX2 set ONEDNN_MAX_CPU_ISA=AVX2, which OpenVINO's kernels obey. Ends with 1 if a
bar is missed; every time is kept in benchmarks/results/DEVICE/bars-10-ISA.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from peers import RUNTIMES  # noqa: E402

from imagen_fast import _native  # noqa: E402
from imagen_fast.backends.native import Native  # noqa: E402
from imagen_fast.bench import machine, record, table  # noqa: E402
from imagen_fast.bench.picture import pictures  # noqa: E402
from imagen_fast.bench.timing import for_a_while, in_turns  # noqa: E402
from imagen_fast.bundle import load_bundle  # noqa: E402
from imagen_fast.catalogue import resolve  # noqa: E402
from imagen_fast.importers import load  # noqa: E402

# Times faster than its own runtime, by what a file's name begins with.
BARS = {
    "amx": {"disp": 2.5, "span": 2.5, "compact": 2.0, "rrdb": 1.2, "realesr": 4.0, "waifu2x": 4.0},
    "avx512": {
        **{"disp": 2.0, "span": 2.0, "compact": 2.0, "imdn": 1.5, "rrdb": 1.5},
        **{"realesr": 1.8, "waifu2x": 1.8},
    },
    "avx2": dict.fromkeys(("disp", "span", "compact", "imdn", "rrdb"), 1.3),
}
SIDE, SIDES, DEARER = 256, (256, 512, 1024, 2048, 4096), 1.15
Run = Callable[[], object]


def processor_time(run: Run, seconds: float) -> Callable[[], Sequence[float]]:
    """A turn: what runs cost this process, whatever else the machine does."""

    def burst() -> list[float]:
        times, end = [], time.monotonic() + seconds
        while not times or time.monotonic() < end:
            start = time.process_time()
            run()
            times.append(1e3 * (time.process_time() - start))
        return times

    return burst


class Bars:
    """What is measured, and which bars it misses."""

    def __init__(self, isa: str, loaded: bool) -> None:
        self.isa, self.loaded = isa, loaded
        self.precision = "bf16" if isa in _native.available("bf16") else "fp32"
        self.threads = 1 if loaded else 2
        self.rows: list[record.Row] = []
        self.missed = False

    def ours(self, path: Path, side: int) -> Run:
        bundle = load(path) if path.suffix in RUNTIMES else load_bundle(path)
        backend = Native(bundle, precision=self.precision, threads=self.threads, isa=self.isa)
        return partial(backend.run, pictures(1, side))

    def middle(self, times: Sequence[float]) -> float:
        return min(times) if self.loaded else median(times)

    def times(self, runs: dict[str, Run], seconds: float) -> dict[str, list[float]]:
        turn = processor_time if self.loaded else for_a_while
        return in_turns({name: turn(run, 0.5) for name, run in runs.items()}, seconds)

    def keep(self, row: record.Row, fits: bool) -> None:
        self.rows.append(row | {"fits": fits})
        self.missed = self.missed or not fits

    def beside(self, path: Path, seconds: float) -> None:
        """A network on both sides."""
        runtime, make = RUNTIMES[path.suffix]
        planes = np.ascontiguousarray(pictures(1, SIDE)[0].transpose(2, 0, 1))
        theirs = partial(make(path, self.precision, self.threads), planes)
        times = self.times({"native": self.ours(path, SIDE), runtime: theirs}, seconds)
        ratio = self.middle(times[runtime]) / self.middle(times["native"])
        bar = next((b for name, b in BARS[self.isa].items() if path.stem.startswith(name)), 0.0)
        for name, samples in times.items():
            about = {"network": path.stem, "runtime": name, "precision": self.precision}
            row = about | {"size": SIDE, "samples_ms": samples}
            self.keep(
                row | ({"times": round(ratio, 3), "bar": bar} if name != "native" else {}),
                name == "native" or ratio >= bar,
            )

    def sizes(self, path: Path) -> None:
        """What a pixel costs in small and large pictures."""
        first = 0.0
        for side in SIDES:
            (times,) = self.times({"": self.ours(path, side)}, 2).values()
            cost = 1e6 * self.middle(times) / side**2
            first = first or cost
            row = {"network": path.stem, "runtime": "native", "size": side, "samples_ms": times}
            dearer = round(cost / first, 3)
            fits = dearer <= DEARER or self.isa != "amx"
            self.keep(row | {"ns_a_pixel": round(cost, 1), "dearer": dearer}, fits)


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--isa", default=_native.available("bf16")[0], choices=BARS)
    parser.add_argument("--loaded", action="store_true")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--seconds", type=float, default=6, help="for each network")
    options = parser.parse_args()
    before, bars = machine.load(), Bars(options.isa, options.loaded)
    for path in options.files:
        bars.beside(path, options.seconds)
    for path in (options.files[0], resolve("sr-x4-tiny")) if options.sizes else ():
        bars.sizes(path)
    table.show(bars.rows)
    for row in bars.rows:
        known = {k: row[k] for k in ("times", "bar", "ns_a_pixel", "dearer", "fits") if k in row}
        print(row["network"], row["size"], row["runtime"], known)
    command = f"python benchmarks/bars/10.py {' '.join(path.name for path in options.files)}"
    made = record.record(
        command, bars.rows, (before, machine.load()), isa=bars.isa, loaded=bars.loaded
    )
    folder = machine.folder_name(machine.describe())
    target = ROOT / "benchmarks" / "results" / folder / f"bars-10-{bars.isa}.json"
    record.write(made, target)
    return 1 if bars.missed else 0


if __name__ == "__main__":
    sys.exit(main())
