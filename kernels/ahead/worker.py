"""Compiles kernels by themselves: python -m imagen_fast.kernels.ahead.worker FOLDER.

Reads one JSON object a line from standard input, see `compiled.form_of`, and answers each with one
on standard output; the cubin goes to FOLDER. A process of its own, so that several compile at once
and none of them has Triton's interpreter on, which compiles nothing.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ..triton.compile import compile_form
from . import cubin

SCRATCH = ["*u8", "*u8"]  # two pointers that every kernel takes after its own parameters


def compiled(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a launcher needs to know of a kernel beside its code, which is put in the folder."""
    module, name = task["source"].split(".")
    kernel = getattr(import_module(f"imagen_fast.kernels.triton.{module}"), name)
    options = {name: task[name] for name in ("num_warps", "num_stages")}
    done = compile_form(
        kernel, task["signature"], task["constants"], task["divisible"], options, task["arch"]
    )
    threads = 32 * done.num_warps
    kinds = [*task["signature"].values(), *SCRATCH]
    cubin.check(task["name"], done.entry, kinds, threads, ptx=done.ptx, cubin=done.cubin)
    (folder / task["file"]).write_bytes(done.cubin)
    return {
        "file": task["file"],
        "entry": done.entry,
        "threads": threads,
        "shared": done.shared,
        "scratch": (done.global_scratch, done.profile_scratch),
    }


def main() -> None:
    """Until the input ends."""
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(compiled(json.loads(line), folder)), flush=True)


if __name__ == "__main__":
    main()
