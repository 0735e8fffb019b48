"""The program in C++ under each tool of compute-sanitizer, over a small odd shape.

    python -m on_gpu.sanitize_program --out OUT

memcheck decides. What the others say is to be read: they know less of copies that run beside the
computation than the hardware does. Calls of the driver that fail are none of the tools' business:
the library asks the driver what it may refuse to answer. A dry run has no tool.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np

from on_gpu.part import Part
from on_gpu.program import enlarge

TOOLS = ("memcheck", "synccheck", "initcheck", "racecheck")
PLACE = (2, 11, 71)
SANITIZER = ("compute-sanitizer", "--report-api-errors", "no", "--error-exitcode", "9")


def watched(tool: str, precision: str, part: Part) -> dict[str, Any]:
    place = (1, 3, 5) if part.dry else PLACE
    given = part.out / "in.bin"
    given.write_bytes(np.random.default_rng(0).bytes(int(np.prod(place)) * 3))
    before = () if part.dry else (*SANITIZER, "--tool", tool)
    program = partial(enlarge, precision, place, 0, given, part.out / "out.bin", *before)
    if tool == "memcheck":
        program()
        return {"ok": True}
    try:
        program()
    except RuntimeError as error:
        return {"said": str(error)}
    return {"said": ""}


def main() -> int:
    part = Part(__doc__)
    for tool in TOOLS:
        for precision in part.dtypes:
            work = partial(watched, tool, precision, part)
            part.attempt(work, what="program watched", tool=tool, dtype=precision)
    return int(part.failed)


if __name__ == "__main__":
    sys.exit(main())
