"""What a program that embeds the library pays: loading, first and later runs, memory, bytes.

    python benchmarks/embed.py [ROUNDS]

Compiles on_gpu/enlarge.cc and examples/c with the installed library, runs the former once for every
size and number of threads and the latter as a whole process; prints what they took and keeps it in
benchmarks/results/embed.json.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from imagen_fast import c_library
from imagen_fast.bench import machine, record
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.timing import Summary, in_turns, once
from imagen_fast.catalogue import resolve

HERE = Path(__file__).parent
RESULT = HERE / "results" / "embed.json"
MODEL = "sr-x4-tiny"
SIZES, THREADS = (64, 256, 1024, 2048), (1, 2)


def build(compiler: str, source: Path, program: Path) -> None:
    """Stripped, as it would be shipped."""
    flags = shlex.split(f"{c_library.compile_flags()} {c_library.link_flags(static=True)}")
    command = [*compiler.split(), str(source), *flags, "-s", "-ldl", "-o", str(program)]
    subprocess.run(command, check=True, timeout=120)


def measure(folder: Path, side: int, threads: int, rounds: int) -> record.Row:
    image = (pictures(1, side) * 255).round().astype(np.uint8)
    (folder / "in.bin").write_bytes(image.tobytes())
    place = (threads, 1, side, side, max(3, rounds * 64 // side))
    files = (folder / "in.bin", folder / "out.bin")
    line = [folder / "enlarge", resolve(MODEL), "cpu", *place, *files]
    done = subprocess.run(list(map(str, line)), check=True, capture_output=True, text=True)
    *times, memory = done.stdout.splitlines()
    load, first, *later = map(float, times)
    _, estimate, grown = memory.split()
    row = {"size": side, "threads": threads, "samples_ms": later, "load_ms": load}
    return row | {"first_ms": first, "estimate": int(estimate), "grown": int(grown)}


def main() -> None:
    rounds, load = int(sys.argv[1]) if len(sys.argv) > 1 else 99, machine.load()
    photograph = HERE.parent / "examples" / "photographs" / "osprey.png"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build("c++ -std=c++17 -O2", HERE / "on_gpu" / "enlarge.cc", folder / "enlarge")
        build("cc -O2", HERE.parent / "examples" / "c" / "upscale.c", folder / "upscale")
        rows = [measure(folder, side, count, rounds) for side in SIZES for count in THREADS]
        Image.open(photograph).convert("RGB").resize((256, 256)).save(folder / "in.ppm")
        line = [str(folder / "upscale"), str(resolve(MODEL)), "in.ppm", "out.ppm"]
        run = partial(subprocess.run, line, check=True, cwd=folder, timeout=60)
        rows.append({"runtime": "examples/c", "size": 256})
        rows[-1]["samples_ms"] = in_turns({"run": once(run)}, 0, least=7)["run"]
        facts = {
            "model": MODEL,
            "shared_library_bytes": c_library.shared().stat().st_size,
            "static_program_bytes": (folder / "upscale").stat().st_size,
        }
    for row in rows:
        said = {key: value for key, value in row.items() if key != "samples_ms"}
        print(f"{Summary.of(row['samples_ms']).p50:9.2f} ms", said)
    print(facts)
    command = f"python benchmarks/embed.py {rounds}"
    record.write(record.record(command, rows, (load, machine.load()), **facts), RESULT)


if __name__ == "__main__":
    main()
