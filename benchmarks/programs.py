"""What whole programs cost, as people run them, and what a pixel costs.

    python benchmarks/programs.py startup|memory|pixels|embed [--models sr-x4 FILE ...]
        [--rounds 9] [--size 6000x4000] [--loaded]

startup: the command, the package and an enlarged picture of 256×256, in turns with `import torch`,
each a fresh Python. memory: the most that enlarging one photograph of --size takes with each of
--models, from file to file: everything that the process had, as the kernel counted. pixels: bytes
of 256² to 4096², untiled, in turns; × is a pixel's time beside 256²'s. --loaded is for a machine
that does other things meanwhile: one thread, its processor time, and the least of each. embed: a
program in C++ (on_gpu/enlarge.cc) for every size and number of threads, and examples/c, both
compiled with the installed library. Prints a table and keeps it in benchmarks/results; what pixels
cost, of every device, in benchmarks/results/DEVICE.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import imagen_fast
from imagen_fast import c_library
from imagen_fast.bench import machine, record, table
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.timing import Burst, Summary, for_a_while, in_turns, once
from imagen_fast.catalogue import resolve
from imagen_fast.cores import cores

HERE = Path(__file__).parent
MODEL = "sr-x4-tiny"
SIZES, THREADS = (64, 256, 1024, 2048), (1, 2)
SIDES, TURN = (256, 512, 1024, 2048, 4096), 0.3
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "imagen-fast --help": ["-m", "imagen_fast", "--help"],
    "import imagen_fast": ["-c", "import imagen_fast"],
    "upscale of 256×256": ["-m", "imagen_fast", "upscale", "in.png", "--overwrite"],
    "python alone": ["-c", "pass"],
}
Found = tuple[list[record.Row], dict[str, Any]]  # rows, and what else is known


def process(folder: Path, *line: object) -> Burst:
    """A turn that is a whole process, which has run once, so that its files were read from disk."""
    how: Any = {"check": True, "capture_output": True, "timeout": 600, "cwd": folder}
    run = partial(subprocess.run, list(map(str, line)), **how)
    run()
    return once(run)


def photograph(path: Path, *size: int) -> None:
    osprey = HERE.parent / "examples" / "photographs" / "osprey.png"
    Image.open(osprey).convert("RGB").resize(size).save(path)


def startup(folder: Path, given: argparse.Namespace) -> Found:
    photograph(folder / "in.png", 256, 256)
    runs = {name: process(folder, sys.executable, *line) for name, line in COMMANDS.items()}
    times = in_turns(runs, 0, least=given.rounds, most=given.rounds)
    base = Summary.of(times["import torch"]).p50
    rows = [
        {"runtime": name, "samples_ms": taken, "times": Summary.of(taken).p50 / base}
        for name, taken in times.items()
    ]
    return rows, {}


def memory(folder: Path, given: argparse.Namespace) -> Found:
    width, height = map(int, given.size.split("x"))
    photograph(folder / "in.png", width, height)
    rows = []
    for model in given.models:
        line = [sys.executable, "-m", "imagen_fast", "upscale", "in.png", "--overwrite", "-n"]
        start = time.perf_counter()
        with subprocess.Popen([*line, resolve(model).absolute()], cwd=folder) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        taken = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(f"{model}: upscale ended with {process.returncode}")
        row = {"network": Path(model).stem, "width": width, "height": height, "seconds": taken}
        row |= {"peak_bytes": usage.ru_maxrss << 10, "samples_ms": [1e3 * taken]}
        with imagen_fast.load(model) as engine:
            rows.append(row | {"scale": engine.scale})
    return rows, {}


def pixels(folder: Path, given: argparse.Namespace) -> Found:
    clock, threads = (time.process_time, 1) if given.loaded else (time.perf_counter, cores())
    rows: list[record.Row] = []
    for model in given.models:
        with imagen_fast.load(model, backend="native", threads=threads) as engine:
            runs = {
                str(side): for_a_while(
                    partial(engine.run, (255 * pictures(1, side)).round().astype(np.uint8)),
                    TURN,
                    clock,
                )
                for side in SIDES
            }
            samples = in_turns(runs, 0, least=given.rounds, most=given.rounds)
            about = {"network": Path(model).stem, "precision": engine.info()["precision"]}
        for side, taken in zip(SIDES, samples.values(), strict=True):
            ms = min(taken) if given.loaded else Summary.of(taken).p50
            row = {"size": side, "nanoseconds": 1e6 * ms / side**2, "samples_ms": taken}
            rows.append(about | row)
            rows[-1]["times"] = row["nanoseconds"] / rows[-1 - SIDES.index(side)]["nanoseconds"]
    return rows, {"threads": threads, "loaded": given.loaded}


def embed(folder: Path, given: argparse.Namespace) -> Found:
    """Programs as they would be shipped, stripped; each row has loading and the first run, too."""
    flags = shlex.split(f"{c_library.compile_flags()} {c_library.link_flags(static=True)}")
    sources = (HERE / "on_gpu" / "enlarge.cc", HERE.parent / "examples" / "c" / "upscale.c")
    for compiler, source in zip(("c++ -std=c++17", "cc"), sources, strict=True):
        line = [*compiler.split(), "-O2", source, *flags, "-s", "-ldl", "-o", folder / source.stem]
        subprocess.run(line, check=True, timeout=120)
    rows = []
    for side, threads in ((side, threads) for side in SIZES for threads in THREADS):
        (pictures(1, side) * 255).round().astype(np.uint8).tofile(folder / "in.bin")
        place = (threads, 1, side, side, max(3, given.rounds * 64 // side))
        line = [folder / "enlarge", resolve(MODEL), "cpu", *place, "in.bin", "out.bin"]
        done = subprocess.check_output(list(map(str, line)), text=True, cwd=folder)
        *times, said = done.splitlines()
        load, first, *later = map(float, times)
        row: record.Row = {"runtime": "C++", "size": side, "threads": threads, "samples_ms": later}
        estimate, grown = map(int, said.split()[1:])
        row |= {"load_ms": load, "first_ms": first, "estimate": estimate, "grown": grown}
        rows.append(row)
    photograph(folder / "in.ppm", 256, 256)
    run = process(folder, folder / "upscale", resolve(MODEL), "in.ppm", "out.ppm")
    rows.append({"runtime": "examples/c", "size": 256, "threads": 0})
    rows[-1]["samples_ms"] = in_turns({"run": run}, 0, least=7)["run"]
    programs = {"shared_library": c_library.shared(), "static_program": folder / "upscale"}
    return rows, {f"{name}_bytes": path.stat().st_size for name, path in programs.items()}


MEASURES = {"startup": startup, "memory": memory, "pixels": pixels, "embed": embed}


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--models", nargs="+", default=["sr-x4"])
    parser.add_argument("--loaded", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", default="6000x4000", metavar="WIDTHxHEIGHT")
    given, load = parser.parse_args(), machine.load()
    with tempfile.TemporaryDirectory() as folder:
        rows, facts = MEASURES[given.what](Path(folder), given)
    table.show(rows)
    for row in rows if given.what != "startup" else ():
        print({key: value for key, value in row.items() if key != "samples_ms"})
    command = f"python benchmarks/programs.py {' '.join(Path(x).name for x in sys.argv[1:])}"
    made = record.record(command, rows, (load, machine.load()), **facts)
    results, name = HERE / "results", f"{given.what}.json"
    record.write(
        made, record.place(made, results, name) if given.what == "pixels" else results / name
    )


if __name__ == "__main__":
    main()
