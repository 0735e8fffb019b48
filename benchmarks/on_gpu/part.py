"""What the parts have in common: their options, where they run, and the file of their rows.

    python -m on_gpu.part MODULE.FUNCTION --out OUT

calls a part's function with a `Part`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import triton_driver_double

# Calls of the driver that fail are not its business: the library asks what may be refused.
SANITIZER = ("compute-sanitizer", "--report-api-errors", "no", "--error-exitcode", "9")
MODES = ("--dry-run", "--compile-only")


class Part:
    """One part's run.

    Attributes:
        dry: on the CPU, in Triton's interpreter, over tiny shapes: everything but the figures.
        compiles: kernels are compiled as a live run launches them, when `finish` is called, for a
            GPU that need not be here (`triton_driver_double`); nothing is computed or compared.
        device: where.
        failed: whether anything so far was not right.

    Args:
        out: folder of the rows' file.
        mode: one of `MODES`, or "".
        dtypes: names of those that are asked for.
        exact: whether answers are compared rather than timed.
    """

    def __init__(
        self,
        out: Path,
        mode: str = "",
        dtypes: Sequence[str] = (),
        seconds: float = 120,
        exact: bool = False,
    ) -> None:
        self.dry, self.compiles = (mode == name for name in MODES)
        if self.compiles:
            triton_driver_double.install()
            triton_driver_double.postpone()
        self.out, self.failed = out, False
        self.device = torch.device("cpu" if mode else "cuda")
        self.dtypes = tuple(dtypes) or ("fp16" if self.dry else "bf16",)
        self._end = time.monotonic() + seconds
        # The fastest algorithm is found by timing, so it differs from run to run, and rounds as
        # it likes: what is compared takes the same one always.
        torch.backends.cudnn.benchmark = not exact
        torch.backends.cudnn.deterministic = exact
        torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32, ours and theirs
        out.mkdir(parents=True, exist_ok=True)
        self._path = out / f"rows-{'-'.join(self.dtypes)}.jsonl"

    def finish(self) -> int:
        """The exit code; what was to be compiled is."""
        for row in triton_driver_double.compiled(self._end) if self.compiles else ():
            self.add(what="compile", **row)
        return int(self.failed)

    def add(self, **row: Any) -> None:
        """One more row, in the file at once."""
        self.failed |= row.get("ok") is False
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def attempt(self, work: Callable[..., dict[str, Any]], *arguments: Any, **row: Any) -> None:
        """The row with what `work` gives; where it fails, with the reason and `ok` false."""
        if time.monotonic() > self._end:
            self.add(**row, left_out="no time was left")
            return
        try:
            found = work(*arguments, part=self)
        except Exception as error:  # whatever it is, the others are still to be measured
            traceback.print_exc()
            reason = " ".join(str(error).split())[:500]
            self.add(**row, ok=False, failed=f"{type(error).__name__}: {reason}")
            return
        if not self.compiles:
            self.add(**row, **found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", metavar="MODULE.FUNCTION")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--dtype", action="append", default=[])
    for mode in MODES:
        parser.add_argument(mode, dest="mode", action="store_const", const=mode, default="")
    options = parser.parse_args()
    module, _, name = options.work.rpartition(".")
    exact = module == "gpu_parity"
    part = Part(options.out, options.mode, options.dtype, options.seconds, exact)
    with torch.inference_mode():
        getattr(import_module(module), name)(part)
    return part.finish()


if __name__ == "__main__":
    sys.exit(main())
