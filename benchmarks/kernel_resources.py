"""What the Triton kernels take on each architecture, read from their machine code. No GPU.

    python benchmarks/kernel_resources.py [ARCH]

compiles every kernel of the shipped models, in bf16, for four architectures or one, and prints
registers, shared memory, matrix instructions, waits for them, blocks that a multiprocessor holds,
spills and the assembler's warnings as a Markdown table. Each pair of an architecture and a dtype is
a process of its own, which prints one line of JSON for each kernel:

    python benchmarks/kernel_resources.py 90 bf16 [--wide] [--unbounded]

`--wide` compiles the kernels of wider networks as well, and with `--unbounded` the weights are such
that attention's logits have no bound.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib.metadata import version
from typing import Any

# Shared memory of a multiprocessor in KiB, of which a block takes one more than it asks for, and
# the most threads.
ARCHITECTURES = {80: (164, 2048), 90: (228, 2048), 100: (228, 2048), 120: (100, 1536)}
REGISTERS = 1 << 16  # of a multiprocessor, given to warps by the 256
DTYPES = ("fp16", "bf16")


def launches(dtype: str, arch: int, wide: bool, unbounded: bool) -> Iterator[Any]:
    """One launch of every form."""
    import numpy as np
    from imagen_fast.kernels.ahead.compiled import key_of
    from imagen_fast.kernels.triton.program import Target, Weights, open_sizes, program_of
    from imagen_fast.kernels.triton.size import Size

    from imagen_fast.catalogue import shipped
    from imagen_fast.graph import network
    from imagen_fast.graph.passes import needed
    from imagen_fast.spec import Level, ModelSpec

    specs = [x.header.spec for x in shipped() if x.header.task.inputs == ("image",)]
    if wide:
        levels = (Level(128, convs=1), Level(192, convs=1), Level(96, convs=0, attention="global"))
        specs += [ModelSpec(scale=2, levels=levels), ModelSpec(scale=1, levels=(Level(256),))]
    done = set()
    for spec in specs:
        graph = needed(network(spec).given(["image"]), ["picture"])
        value = 100 if unbounded else 0
        tensors = {name: np.full(shape, value, np.float32) for name, shape in graph.tensors.items()}
        sizes = open_sizes(graph)
        for samples in ("u8", "fp32") if wide else ("u8",):
            target = Target(arch, Size("P"), samples)
            for launch in program_of(graph, Weights(tensors, dtype, "cpu"), sizes, target).launches:
                if (key := key_of(launch, arch)) not in done:
                    done.add(key)
                    yield launch


def measure(arch: int, dtype: str, wide: bool, unbounded: bool) -> None:
    """Compile here, print a line a form."""
    from imagen_fast.kernels.triton.compile import compile_launch, resources
    from triton import knobs

    knobs.nvidia.dump_ptxas_log = True
    for launch in launches(dtype, arch, wide, unbounded):
        start = time.perf_counter()
        with redirect_stdout(io.StringIO()) as log:
            kernel = compile_launch(launch, arch)
        row = {"name": launch.name, "arch": arch, "dtype": dtype, **resources(kernel)}
        row["blocks"] = blocks(arch, kernel.num_warps, row["registers"], row["shared"])
        row["warnings"] = sorted(set(re.findall(r"(C75\d\d)\) Potential", log.getvalue())))
        row["seconds"] = round(time.perf_counter() - start, 2)
        print(json.dumps(row), flush=True)


def blocks(arch: int, warps: int, registers: int, shared: int) -> int:
    """That a multiprocessor holds at once."""
    memory, threads = ARCHITECTURES[arch]
    held = REGISTERS // (-(-32 * registers // 256) * 256)  # warps
    return min(held // warps, (memory << 10) // (shared + 1024), threads // (32 * warps))


def measured_apart(arch: int) -> Iterator[dict[str, Any]]:
    """In bf16, in a fresh process with an empty cache and without Triton's interpreter."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": cache}
        line = [sys.executable, __file__, str(arch), "bf16"]
        yield from map(json.loads, subprocess.check_output(line, env=environment).splitlines())


def cell(row: dict[str, Any]) -> str:
    units = " ".join(f"{row[u]} {u}" for u in ("HGMMA", "HMMA", "UTCMMA") if row[u]) or "FFMA"
    units += f" in {row['waits']}" if row["waits"] else ""
    parts = [row["registers"], f"{row['shared'] / 1024:.0f} KiB", units, row["blocks"]]
    parts += [f"{row['spills']} spills"] if row["spills"] else []
    return " / ".join(map(str, [*parts, *row["warnings"]]))


def main() -> None:
    """Compile and print: a line a form, a column an architecture."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch", type=int, nargs="?", choices=ARCHITECTURES)
    parser.add_argument("dtype", nargs="?", choices=DTYPES)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--unbounded", action="store_true")
    options = parser.parse_args()
    if options.dtype:
        measure(options.arch, options.dtype, options.wide, options.unbounded)
        return
    archs = [options.arch] if options.arch else list(ARCHITECTURES)
    cells = {(x["name"], x["arch"]): cell(x) for arch in archs for x in measured_apart(arch)}
    print("# What the kernels of the shipped models take in bf16, read from their machine code\n")
    print(f"By `python benchmarks/kernel_resources.py`, with triton {version('triton')}.\n")
    heads = [
        "registers / shared memory / matrix instructions / blocks",
        *(f"sm_{x}" for x in archs),
    ]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name in sorted({name for name, _ in cells}):
        print(f"| `{name}` | {' | '.join(cells.get((name, arch), '') for arch in archs)} |")


if __name__ == "__main__":
    main()
