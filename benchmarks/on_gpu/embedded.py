"""`enlarge`, a program in C++ on the library, and bundles with GPU kernels for it: right, and how
fast beside the backend `triton`.

`build` compiles both into the folder $BUILT, for the parts that run them; the library without the
kernels for processors. A dry run has a double of the driver in place of a GPU, so that the program
runs and its pictures say nothing.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
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
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import Bundle
from on_gpu.part import SANITIZER, Part
from on_gpu.speed import MODEL, answer, in_turns, model

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PLACES = ((1, 256), (1, 512), (1, 1024), (8, 512))
ROUNDS = 100
# Of a first run's launches, each by itself; more sections take more passes.
SECTIONS = ("SpeedOfLight", "MemoryWorkloadAnalysis", "ComputeWorkloadAnalysis", "Occupancy")
PROFILER = ("ncu", "--clock-control", "none", "--launch-count", "24", "--csv", "--page", "details",
            *(word for x in SECTIONS for word in ("--section", x)))  # fmt: skip
TOOLS = ("memcheck", "synccheck", "initcheck", "racecheck")


def built(name: str) -> Path:
    """Where program and bundles are."""
    return Path(os.environ["BUILT"]) / name


def bundle_path(dtype: str) -> Path:
    return built(f"{MODEL}-{dtype}.safetensors")


def build(part: Part) -> None:
    built("double").mkdir(parents=True, exist_ok=True)
    part.attempt(build_program, what="program")
    for dtype in part.dtypes:
        part.attempt(build_bundle, dtype, what="bundle", dtype=dtype)


def build_program(part: Part) -> dict[str, Any]:
    """Links the program with the library, which is compiled unless it is there and this is dry."""
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise RuntimeError(f"there is no C++ compiler {compiler}")
    start = time.monotonic()
    flags = ["-std=c++17", "-O2", f"-I{ROOT}/imagen_fast/include", "-w", "-pthread"]

    def compiled(source: Path) -> Path:
        target = built(f"{source.stem}.o")
        subprocess.run([compiler, *flags, "-c", source, "-o", target], check=True)
        return target

    objects = [ROOT / "imagen_fast" / "lib" / "libimagen_fast.a"]
    if not part.dry or not objects[0].exists():
        folders = (ROOT / "imagen_fast" / "runtime", ROOT / "kernels" / "cpu")
        sources = [x for folder in folders for x in folder.glob("*.cc") if x.stem != "binding"]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(compiled, sources))
    line = [compiler, *flags, HERE / "enlarge.cc", *objects, "-o", built("enlarge"), "-ldl"]
    subprocess.run(line, check=True)
    if part.dry:
        source = ROOT / "tests" / "runtime" / "libcuda_double.c"
        line = ["cc", "-shared", "-fPIC", "-pthread", source, "-o", built("double/libcuda.so.1")]
        subprocess.run(line, check=True)
    return {"seconds": round(time.monotonic() - start, 2)}


def build_bundle(dtype: str, part: Part) -> dict[str, Any]:
    """The file for this GPU, or for sm_90 where there is none."""
    start = time.monotonic()
    # Of its own: it reads the assembly as well, which a carried cache does not have.
    os.environ["TRITON_CACHE_DIR"] = str(built("cache"))
    bundle = model()
    major, minor = torch.cuda.get_device_capability() if part.device.type == "cuda" else (9, 0)
    plan, tensors = made_ready(bundle, bundle.graph, dtype, [10 * major + minor])
    data = render(Bundle(bundle.graph, {}, bundle.metadata), plan, tensors)
    bundle_path(dtype).write_bytes(data)
    return {"seconds": round(time.monotonic() - start, 2), "bytes": len(data)}


def enlarge(
    dtype: str, tiles: Any, rounds: int, part: Part, *before: str
) -> tuple[str, float, Any]:
    """What the program prints; its whole time, in milliseconds; and its pictures.

    before: a command that runs it.

    Raises:
        RuntimeError: it failed.
    """
    given, out = part.out / "in.bin", part.out / "out.bin"
    tiles.tofile(given)
    environment = {**os.environ}
    if part.dry:
        environment |= {"LD_LIBRARY_PATH": str(built("double")), "DOUBLE_LOG": os.devnull}
        environment |= {"DOUBLE_PINNED": "1"}
    place = [*map(str, tiles.shape[:3]), str(rounds)]
    line = [*before, built("enlarge"), bundle_path(dtype), "cuda", "0", *place, given, out]
    start = time.monotonic()
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    whole = 1000 * (time.monotonic() - start)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-400:]
        raise RuntimeError(f"{line[0]} failed ({done.returncode}): {said}")
    return done.stdout, whole, np.fromfile(out, np.uint8)


def watched(part: Part) -> None:
    """Under each tool of compute-sanitizer, over a small odd shape: memcheck decides.

    What the others say is to be read: they know less of copies that run beside the computation
    than the hardware does. A dry run has no tool.
    """

    size = (1, 3, 5, 3) if part.dry else (2, 11, 71, 3)
    tiles = np.random.default_rng(0).integers(0, 256, size, np.uint8)

    def under(tool: str, dtype: str, part: Part) -> dict[str, Any]:
        try:
            enlarge(dtype, tiles, 0, part, *(() if part.dry else (*SANITIZER, "--tool", tool)))
        except RuntimeError as error:
            if tool == "memcheck":
                raise
            return {"said": str(error)}
        return {"ok": True} if tool == "memcheck" else {"said": ""}

    for dtype in with_bundles(part):
        for tool in TOOLS:
            part.attempt(under, tool, dtype, what="program watched", tool=tool, dtype=dtype)


def measure(part: Part) -> None:
    """Beside the backend, if not dry: its interpreter would take minutes, and says nothing new."""
    for dtype in with_bundles(part):
        backend = None if part.dry else Triton(model(), device="cuda", precision=dtype)
        for count, side in ((1, 4),) if part.dry else PLACES:
            facts = {"what": "embedded", "batch": count, "side": side, "dtype": dtype}
            tiles = (pictures(count, side) * 255).round().astype(np.uint8)
            part.attempt(measured, tiles, dtype, backend, **facts)


def counters(part: Part) -> None:
    """What the hardware counted at each launch of a picture of 512², by Nsight Compute."""
    for dtype in with_bundles(part):
        if shutil.which(PROFILER[0]) is None:
            part.add(what="counters", left_out=f"{PROFILER[0]} is not installed here")
            continue
        tiles = (pictures(1, 512) * 255).round().astype(np.uint8)
        for row in counted(enlarge(dtype, tiles, 0, part, *PROFILER)[0]):
            part.add(what="counters", dtype=dtype, **row)


def counted(printed: str) -> list[dict[str, Any]]:
    """A row for each launch, of the lines of CSV among all that the profiler printed."""
    rows: dict[str, dict[str, Any]] = {}
    for line in csv.DictReader(x for x in printed.splitlines() if x.startswith('"')):
        about = {"kernel": line["Kernel Name"], "grid": line["Grid Size"], "counters": {}}
        row = rows.setdefault(line["ID"], about)
        if line["Metric Name"]:
            name = f"{line['Metric Name']}, {line['Metric Unit']}"
            row["counters"][name] = line["Metric Value"]
    return list(rows.values())


def with_bundles(part: Part) -> list[str]:
    """The dtypes of which there is a bundle."""
    there = [dtype for dtype in part.dtypes if bundle_path(dtype).exists()]
    for dtype in part.dtypes:
        if dtype not in there:
            part.add(what="embedded", dtype=dtype, left_out="nothing was built in time")
    return there


def measured(tiles: Any, dtype: str, backend: Triton | None, part: Part) -> dict[str, Any]:
    """ "cold" is the whole program for one picture, from start to end."""

    def beside() -> list[float]:
        runs = {"triton": partial(backend.run, tiles)} if backend else {}
        return in_turns(runs, part, 3.0, clock="cpu").get("triton", [])

    before = beside()
    said, _, output = enlarge(dtype, tiles, 2 if part.dry else ROUNDS, part)
    load, first, *later = map(float, said.split())
    samples = {"triton": before + beside(), "embedded": [round(1e3 * x, 1) for x in later]}
    cold = [enlarge(dtype, tiles, 0, part)[1] for _ in range(1 if part.dry else 5)]
    truth = answer(model(), tiles, part.device)
    psnr, wrong = check(output.reshape(truth.shape) / np.float32(255), truth, dtype)
    return {
        "psnr": psnr,
        "ok": part.dry or not wrong,
        "load_ms": load,
        "first_ms": first,
        "cold_ms": [round(x, 1) for x in cold],
        "samples_us": {name: taken for name, taken in samples.items() if taken},
    }
