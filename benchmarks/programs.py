"""What whole programs cost, as people run them.

    python benchmarks/programs.py startup|memory|embed [--rounds 9] [--size 6000x4000]

startup: the command, the package and an enlarged picture of 256×256, in turns with `import torch`,
each a fresh Python. memory: the most that enlarging one photograph of --size four times takes in
fp32, from file to file: everything that the process had, as the kernel counted. embed: a program
in C++ (on_gpu/enlarge.cc) for every size and number of threads, and examples/c, both compiled with
the installed library. Prints a table and keeps it in benchmarks/results.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagen_fast import c_library
from imagen_fast.bench import machine, record, table
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.timing import Burst, Summary, in_turns, once
from imagen_fast.catalogue import resolve

HERE = Path(__file__).parent
MODEL = "sr-x4-tiny"
SIZES, THREADS = (64, 256, 1024, 2048), (1, 2)
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
    line = [sys.executable, "-m", "imagen_fast", "upscale", "in.png", "-s", "4"]
    run = partial(subprocess.run, [*line, "--precision", "fp32"], check=True, cwd=folder)
    (taken,) = once(run)()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    row = {"width": width, "height": height, "scale": 4, "precision": "fp32"}
    return [row | {"peak_bytes": peak, "seconds": taken / 1e3, "samples_ms": [taken]}], {}


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


MEASURES = {"startup": startup, "memory": memory, "embed": embed}


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", default="6000x4000", metavar="WIDTHxHEIGHT")
    given, load = parser.parse_args(), machine.load()
    with tempfile.TemporaryDirectory() as folder:
        rows, facts = MEASURES[given.what](Path(folder), given)
    table.show(rows)
    for row in rows if given.what != "startup" else ():
        print({key: value for key, value in row.items() if key != "samples_ms"})
    command = " ".join(["python", "benchmarks/programs.py", *sys.argv[1:]])
    made = record.record(command, rows, (load, machine.load()), **facts)
    record.write(made, HERE / "results" / f"{given.what}.json")


if __name__ == "__main__":
    main()
