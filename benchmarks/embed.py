"""What a program that embeds the library pays: loading, first and later runs, memory, bytes.

Compiles benchmarks/embed.cc and examples/c with the installed library, runs the former once for
every size and number of threads and the latter as a whole process, prints a table and writes
benchmarks/results/embed.json.

    python benchmarks/embed.py [SECONDS A ROW]
"""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from imagen_fast import c_library
from imagen_fast.bench.machine import describe
from imagen_fast.catalogue import resolve

HERE = Path(__file__).parent
RESULT = HERE / "results" / "embed.json"
MODEL = "sr-x4-tiny"
SIZES = (64, 256, 1024, 2048)
THREADS = (1, 2)
PROCESSES = 7
KINDS = {"isa": str, "precision": str, "runs": int, "estimate": int, "grown": int}
FIELDS = ("isa", "precision", "load_ms", "first_ms", "median_ms", "runs", "estimate", "grown")


def main() -> None:
    """Measure, print and keep the result."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "1.5"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        link = c_library.link_flags(static=True)
        build("c++ -std=c++17 -O2", HERE / "embed.cc", folder / "embed", link)
        example = HERE.parent / "examples" / "c" / "upscale.c"
        build("cc -O2", example, folder / "upscale", link)
        rows = [measure(folder / "embed", side, n, seconds) for side in SIZES for n in THREADS]
        record = {
            "model": MODEL,
            "rows": rows,
            "process_256_ms": round(1e3 * whole_process(folder), 1),
            "shared_library_bytes": c_library.shared().stat().st_size,
            "static_program_bytes": (folder / "upscale").stat().st_size,
            "machine": describe(),
        }
    for row in rows:
        print(
            f"{row['side']:5}² {row['threads']} threads  load {row['load_ms']:6.1f}  "
            f"first {row['first_ms']:8.1f}  later {row['median_ms']:8.1f} ms  "
            f"memory {row['estimate'] / 2**20:6.1f} MiB, measured {row['grown'] / 2**20:6.1f}"
        )
    for key in ("process_256_ms", "shared_library_bytes", "static_program_bytes"):
        print(f"{key}: {record[key]}")
    RESULT.write_text(json.dumps(record, indent=2) + "\n")


def build(compiler: str, source: Path, program: Path, link: str) -> None:
    """Stripped, as it would be shipped."""
    flags = shlex.split(f"{c_library.compile_flags()} {link}")
    command = [*compiler.split(), str(source), *flags, "-s", "-o", str(program)]
    subprocess.run(command, check=True, timeout=120)


def measure(program: Path, side: int, threads: int, seconds: str) -> dict[str, Any]:
    command = [str(program), str(resolve(MODEL)), str(side), str(threads), seconds]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    values = zip(FIELDS, done.stdout.split(), strict=True)
    return {
        "side": side,
        "threads": threads,
        **{name: KINDS.get(name, float)(text) for name, text in values},
    }


def whole_process(folder: Path) -> float:
    """Seconds that the example in C takes for a file of 256², from start to end."""
    photograph = HERE.parent / "examples" / "photographs" / "osprey.png"
    Image.open(photograph).convert("RGB").resize((256, 256)).save(folder / "in.ppm")
    command = [str(folder / "upscale"), str(resolve(MODEL)), "in.ppm", "out.ppm"]
    times = []
    for _ in range(PROCESSES):
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=folder, timeout=60)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
