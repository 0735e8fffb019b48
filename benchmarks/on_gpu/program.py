"""`enlarge`, a program in C++ on the library, and bundles with GPU kernels for it.

    python -m on_gpu.program --out OUT

compiles both into the folder $BUILT, for the parts that run them. The library is compiled without
the kernels for processors. A dry run has a double of the driver in place of a GPU, so that the
program runs and its pictures say nothing.
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

import torch
from imagen_fast.export.bundle_file import render
from imagen_fast.kernels.ahead.bundled import made_ready

from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.graph.passes import needed
from on_gpu.end_to_end import MODEL
from on_gpu.part import Part

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INCLUDE = ROOT / "imagen_fast" / "include"


def folder() -> Path:
    """Where program and bundles are."""
    return Path(os.environ["BUILT"])


def build_program(dry: bool) -> dict[str, Any]:
    """Links the program with the library, which is compiled unless it is there and this is dry."""
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler) is None:
        raise RuntimeError(f"there is no C++ compiler {compiler}")
    start = time.monotonic()
    flags = ["-std=c++17", "-O2", f"-I{INCLUDE}", "-w", "-pthread"]
    archive = ROOT / "imagen_fast" / "lib" / "libimagen_fast.a"
    objects = [archive] if dry and archive.exists() else _compiled(compiler, flags)
    made = folder() / "enlarge"
    line = [compiler, *flags, HERE / "enlarge.cc", *objects, "-o", made, "-ldl"]
    subprocess.run(line, check=True)
    if dry:
        double = folder() / "double"
        double.mkdir(exist_ok=True)
        source = ROOT / "tests" / "runtime" / "libcuda_double.c"
        line = ["cc", "-shared", "-fPIC", "-pthread", source, "-o", double / "libcuda.so.1"]
        subprocess.run(line, check=True)
    return {"seconds": round(time.monotonic() - start, 2)}


def _compiled(compiler: str, flags: list[str]) -> list[Path]:
    """The library's objects."""
    sources = [*(ROOT / "imagen_fast/runtime").glob("*.cc"), *(ROOT / "kernels/cpu").glob("*.cc")]
    wanted = [x for x in sources if x.name != "binding.cc"]

    def one(source: Path) -> Path:
        target = folder() / f"{source.stem}.o"
        subprocess.run([compiler, *flags, "-c", source, "-o", target], check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, wanted))


def bundle_path(precision: str) -> Path:
    """Where the bundle of a precision is."""
    return folder() / f"{MODEL}-{precision}.safetensors"


def build_bundle(precision: str, on_gpu: bool) -> dict[str, Any]:
    """The file for this GPU, or for sm_90 where there is none."""
    start = time.monotonic()
    # Of its own: it reads the assembly as well, which a carried cache does not have.
    os.environ["TRITON_CACHE_DIR"] = str(folder() / "cache")
    model = load_bundle(resolve(MODEL))
    major, minor = torch.cuda.get_device_capability() if on_gpu else (9, 0)
    graph = needed(model.graph.given(["image"]), ["picture"])
    plan, tensors = made_ready(model, graph, precision, [10 * major + minor])
    data = render(Bundle(graph, {}, model.metadata), plan, tensors)
    bundle_path(precision).write_bytes(data)
    return {"seconds": round(time.monotonic() - start, 2), "bytes": len(data)}


def enlarge(
    precision: str, place: tuple[int, ...], rounds: int, given: Path, out: Path, *before: str
) -> tuple[list[float], float]:
    """What the program prints, and its whole time, in milliseconds; its pictures are in `out`.

    before: a command that runs it.

    Raises:
        RuntimeError: it failed.
    """
    environment = {**os.environ}
    double = folder() / "double"
    if double.is_dir():
        environment |= {"LD_LIBRARY_PATH": str(double), "DOUBLE_LOG": os.devnull}
        environment |= {"DOUBLE_PINNED": "1"}
    line = [*before, folder() / "enlarge", bundle_path(precision), "cuda", "0", *map(str, place)]
    start = time.monotonic()
    done = subprocess.run(
        [*line, str(rounds), given, out], capture_output=True, text=True, env=environment
    )
    whole = 1000 * (time.monotonic() - start)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-400:]
        raise RuntimeError(f"{line[0]} failed ({done.returncode}): {said}")
    return [float(x) for x in done.stdout.split("\n") if x and x[0].isdigit()], whole


def main() -> int:
    part = Part(__doc__)
    folder().mkdir(exist_ok=True)
    part.attempt(partial(build_program, part.dry), what="program")
    for precision in part.dtypes:
        work = partial(build_bundle, precision, part.device.type == "cuda")
        part.attempt(work, what="bundle", dtype=precision)
    return part.finish()


if __name__ == "__main__":
    sys.exit(main())
