"""A bundle with GPU kernels in a program in C++: right, and how fast beside the backend `triton`.

    python -m on_gpu.embedded --out OUT

The library is compiled here, without the kernels for processors. "cold" is the whole program for
one picture, from start to end. A dry run has a double of the driver in place of a GPU, so that
the program runs and its pictures say nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from imagen_fast.export.bundle_file import render
from imagen_fast.kernels.ahead.bundled import made_ready

from imagen_fast.backends.triton import Triton
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.stage import WORST_PSNR
from imagen_fast.bench.summary import psnr
from imagen_fast.bundle import load_bundle
from imagen_fast.catalogue import resolve
from on_gpu import timing
from on_gpu.end_to_end import MODEL, expected
from on_gpu.part import Part

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INCLUDE = ROOT / "imagen_fast" / "include"
PLACES = ((1, 256), (1, 512), (1, 1024), (8, 512))
ROUNDS = 100


def program(folder: Path, dry: bool) -> Path:
    """`enlarge`, linked with the library, which is compiled unless it is there and this is dry."""
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise RuntimeError(f"there is no C++ compiler {compiler}")
    made = folder / "enlarge"
    flags = ["-std=c++17", "-O2", f"-I{INCLUDE}", "-w"]
    archive = ROOT / "imagen_fast" / "lib" / "libimagen_fast.a"
    objects = [archive] if dry and archive.exists() else compiled(compiler, flags, folder)
    line = [compiler, *flags, HERE / "enlarge.cc", *objects, "-o", made, "-pthread", "-ldl"]
    subprocess.run(line, check=True)
    return made


def compiled(compiler: str, flags: list[str], folder: Path) -> list[Path]:
    """The library's objects."""
    sources = [*(ROOT / "imagen_fast/runtime").glob("*.cc"), *(ROOT / "kernels/cpu").glob("*.cc")]
    wanted = [x for x in sources if x.name != "binding.cc"]

    def one(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        subprocess.run([compiler, *flags, "-pthread", "-c", source, "-o", target], check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, wanted))


def bundle(folder: Path, precision: str, part: Part) -> tuple[Path, float]:
    """The file for this GPU, and the seconds that it took to make."""
    start = time.monotonic()
    model = load_bundle(resolve(MODEL))
    major, minor = (9, 0) if part.dry else torch.cuda.get_device_capability()
    plan, tensors = made_ready(model, precision, [10 * major + minor])
    path = folder / f"{MODEL}-{precision}.safetensors"
    path.write_bytes(render(model, plan, tensors))
    return path, round(time.monotonic() - start, 2)


def run(
    line: list[Any], place: tuple[int, ...], rounds: int, folder: Path, given: Path
) -> tuple[list[float], bytes, float]:
    """What the program prints, its pictures, and its whole time in milliseconds."""
    out = folder / "out.bin"
    environment = {**os.environ}
    double = folder / "double"
    if double.is_dir():
        environment |= {"LD_LIBRARY_PATH": str(double), "DOUBLE_LOG": str(folder / "log")}
        environment |= {"DOUBLE_PINNED": "1"}
    start = time.monotonic()
    done = subprocess.run(
        [*line, *map(str, place), str(rounds), given, out],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    whole = 1000 * (time.monotonic() - start)
    if done.returncode:
        raise RuntimeError(f"enlarge failed ({done.returncode}): {done.stderr.strip()}")
    return [float(x) for x in done.stdout.split()], out.read_bytes(), whole


def measured(
    line: list[Any], count: int, side: int, precision: str, part: Part, backend: Triton | None
) -> dict[str, Any]:
    tiles = (pictures(count, side) * 255).round().astype(np.uint8)
    given = part.out / "in.bin"
    given.write_bytes(tiles.tobytes())
    place = (count, side, side)
    rounds = 2 if part.dry else ROUNDS
    each = partial(timing.in_turns, device=torch.device("cpu"), seconds=3.0, rounds=rounds)
    before = each({"triton": lambda: backend.run(tiles)}) if backend else {"triton": []}
    (load, first, *samples), data, _ = run(line, place, rounds, part.out, given)
    after = each({"triton": lambda: backend.run(tiles)}) if backend else {"triton": []}
    cold = [run(line, place, 0, part.out, given)[2] for _ in range(1 if part.dry else 5)]
    scale = load_bundle(resolve(MODEL)).spec.scale
    output = np.frombuffer(data, np.uint8).reshape(count, scale * side, scale * side, 3)
    truth = expected(tiles, part)
    accuracy = psnr(output / np.float32(255), truth)
    taken = {"triton": before["triton"] + after["triton"], "embedded": samples}
    return {
        "psnr": accuracy,
        "ok": part.dry or accuracy > WORST_PSNR[precision],
        "load_ms": load,
        "first_ms": first,
        "cold_ms": [round(x, 1) for x in cold],
        "samples_us": taken,
        "median_us": {name: timing.median(x) for name, x in taken.items() if x},
    }


def main() -> int:
    part = Part(__doc__)
    if part.dry:
        double = part.out / "double"
        double.mkdir()
        source = ROOT / "tests" / "runtime" / "libcuda_double.c"
        line = ["cc", "-shared", "-fPIC", "-pthread", source, "-o", double / "libcuda.so.1"]
        subprocess.run(line, check=True)
    enlarge = program(part.out, part.dry)
    with torch.inference_mode():
        for precision in part.dtypes:
            path, seconds = bundle(part.out, precision, part)
            part.add(what="bundle", dtype=precision, seconds=seconds, bytes=path.stat().st_size)
            # Its interpreter would take minutes, and what it says is in another part.
            backend = None if part.dry else Triton(
                load_bundle(resolve(MODEL)), device="cuda", precision=precision
            )  # fmt: skip
            for count, side in ((1, 4),) if part.dry else PLACES:
                line = [enlarge, path, "cuda"]
                work = partial(measured, line, count, side, precision, part, backend)
                part.attempt(work, what="embedded", batch=count, side=side, dtype=precision)
    return int(part.failed)


if __name__ == "__main__":
    sys.exit(main())
