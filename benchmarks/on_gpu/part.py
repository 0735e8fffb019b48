"""What the parts have in common: their options, where they run, and the file of their rows."""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from on_gpu import compiler

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Part:
    """One part's run.

    Attributes:
        dry: on the CPU, in Triton's interpreter, over tiny shapes: everything but the figures.
        compiles: kernels are compiled for a GPU that need not be here (`compiler`), as a live run
            launches them, when `finish` is called; nothing is computed or compared.
        device: where.
        failed: whether anything so far was not right.
        dtypes: names of those that are asked for.
        flags: those of the part's own options that are given.

    Args:
        doc: the part's own, for --help.
        arguments: the command line's; those of this process if None.
        exact: whether answers are compared rather than timed.
        flags: names of the part's own options.
    """

    def __init__(
        self,
        doc: str | None,
        arguments: list[str] | None = None,
        exact: bool = False,
        flags: Sequence[str] = (),
    ) -> None:
        parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
        parser.add_argument("--out", type=Path, required=True, help="folder of the rows' file")
        parser.add_argument("--seconds", type=float, default=120)
        parser.add_argument("--dtype", choices=DTYPES, action="append")
        parser.add_argument("--dry-run", action="store_true")
        parser.add_argument("--compile-only", action="store_true")
        for flag in flags:
            parser.add_argument(f"--{flag}", action="store_true")
        options = parser.parse_args(arguments)
        self.flags = {flag for flag in flags if getattr(options, flag)}
        self.dry: bool = options.dry_run
        self.compiles: bool = options.compile_only
        if self.compiles:
            compiler.install()
            compiler.postpone()
        self.out: Path = options.out
        self._end = time.monotonic() + options.seconds
        self.device = torch.device("cpu" if self.dry or self.compiles else "cuda")
        self.dtypes: list[str] = options.dtype or (["fp16"] if self.dry else ["bf16"])
        self.failed = False
        # The fastest algorithm is found by timing, so it differs from run to run, and rounds as
        # it likes: what is compared takes the same one always.
        torch.backends.cudnn.benchmark = not exact
        torch.backends.cudnn.deterministic = exact
        torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32, ours and theirs
        self.out.mkdir(parents=True, exist_ok=True)
        self._path = self.out / f"rows-{'-'.join(self.dtypes)}.jsonl"

    def finish(self) -> int:
        """The exit code; what was to be compiled is."""
        for row in compiler.compiled() if self.compiles else ():
            self.add(what="compile", **row)
        return int(self.failed)

    def add(self, **row: Any) -> None:
        """One more row, in the file at once."""
        self.failed |= row.get("ok") is False
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def attempt(self, work: Callable[[], dict[str, Any]], **row: Any) -> None:
        """The row with what `work` gives; where it fails, with the reason and `ok` false."""
        if time.monotonic() > self._end:
            self.add(**row, left_out="no time was left")
            return
        try:
            found = work()
        except Exception as error:  # whatever it is, the others are still to be measured
            traceback.print_exc()
            reason = " ".join(str(error).split())[:500]
            self.add(**row, ok=False, failed=f"{type(error).__name__}: {reason}")
            return
        if not self.compiles:
            self.add(**row, **found)
