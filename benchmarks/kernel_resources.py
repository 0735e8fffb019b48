"""What the Triton kernels take on each architecture, read from their machine code. No GPU.

    python benchmarks/kernel_resources.py

compiles every form of every kernel for four architectures in three dtypes, keeps registers, spills,
shared memory, matrix instructions and seconds of compilation in benchmarks/results/
kernels-aot.json, and prints a Markdown table. Each pair of an architecture and a dtype is a process
of its own, which prints one line of JSON for each form:

    python benchmarks/kernel_resources.py 90 bf16 [--brief bounded]

`--brief` leaves out channels that take the forms of others, and attention whose logits have no
bound (or, with `--brief unbounded`, have one).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import chain, product
from pathlib import Path
from typing import Any

from imagen_fast.bench import machine

RESULT = Path(__file__).parent / "results" / "kernels-aot.json"
ARCHITECTURES = (80, 90, 100, 120)
DTYPES = ("fp32", "fp16", "bf16")


def forms(dtype: str, arch: int, brief: str | None) -> Iterator[Any]:
    """Every form once."""
    import torch
    from imagen_fast.kernels.triton import conv_block, down, global_attention, head, stem, up
    from imagen_fast.kernels.triton import window_attention as window

    kind = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    if brief:
        bounded = brief == "bounded"
        everything = [
            window.variants(kind, arch, (64, 96, 128, 192), bounded=bounded),
            global_attention.variants(kind, (96,), bounded=bounded),
            conv_block.variants(kind, arch),
            stem.variants(kind, arch, (64,)),
            down.variants(kind, arch, ((64, 96), (128, 192))),
            up.variants(kind, arch, ((64, 96),)),
            head.variants(kind, arch, (64,), (1, 4)),
            head.variants(kind, arch, (96,), (4,)),
        ]
    else:
        everything = [
            *(window.variants(kind, arch, bounded=bounded) for bounded in (True, False)),
            *(global_attention.variants(kind, bounded=bounded) for bounded in (True, False)),
            *(module.variants(kind, arch) for module in (conv_block, stem, down, up, head)),
        ]
    done = set()
    for variant in chain.from_iterable(everything):
        if variant.name not in done:
            done.add(variant.name)
            yield variant


def measure(arch: int, dtype: str, brief: str | None) -> None:
    """Compile here, print a line a form."""
    from imagen_fast.kernels.triton.compile import compile_variant, resources

    for variant in forms(dtype, arch, brief):
        start = time.perf_counter()
        kernel = compile_variant(variant, arch)
        seconds = round(time.perf_counter() - start, 2)
        row = {"name": variant.name, "arch": arch, "dtype": dtype, "wgmma": variant.wgmma}
        print(json.dumps({**row, **resources(kernel), "seconds": seconds}), flush=True)


def measured_apart(arch: int, dtype: str) -> list[dict[str, Any]]:
    """`measure` in a fresh process with an empty cache and without Triton's interpreter."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, __file__, str(arch), dtype],
            stdout=subprocess.PIPE, text=True, check=True,
            env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": cache},
        )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Markdown: a line a form, a column an architecture."""
    named: dict[str, dict[int, str]] = {}
    for row in rows:
        units = " ".join(f"{row[u]} {u}" for u in ("HGMMA", "HMMA", "UTCMMA") if row[u])
        cell = f"{row['registers']} / {row['shared'] / 1024:.0f} KiB / {units or 'FFMA'}"
        spills = f" / {row['spills']} spills" if row["spills"] else ""
        named.setdefault(row["name"], {})[row["arch"]] = cell + spills
    yield (
        "| registers / shared memory / matrix instructions | "
        + " | ".join(f"sm_{arch}" for arch in ARCHITECTURES)
        + " |"
    )
    yield "|---" * (1 + len(ARCHITECTURES)) + "|"
    for name, cells in sorted(named.items()):
        yield f"| `{name}` | " + " | ".join(cells.get(a, "") for a in ARCHITECTURES) + " |"


def main() -> None:
    """Compile, print, keep."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arch", type=int, nargs="?", choices=ARCHITECTURES)
    parser.add_argument("dtype", nargs="?", choices=DTYPES)
    parser.add_argument("--brief", choices=("bounded", "unbounded"))
    options = parser.parse_args()
    if options.dtype:
        measure(options.arch, options.dtype, options.brief)
        return
    if options.arch or options.brief:
        parser.error("name an architecture and a dtype, or nothing at all")
    import triton

    rows = [row for pair in product(ARCHITECTURES, DTYPES) for row in measured_apart(*pair)]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    facts = {"triton": triton.__version__, "machine": machine.describe()}
    text = json.dumps(facts, indent=1)[:-2] + f',\n "kernels": [\n{lines}\n ]\n}}\n'
    RESULT.write_text(text)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
