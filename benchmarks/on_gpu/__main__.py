"""Runs the parts in boxes of time, whatever becomes of the ones before; one JSON after each.

    python -m on_gpu OUT [--seconds 420] [--dry-run | --compile-only] [--only PART]

OUT/gpu.json holds machine, commit, clocks before and after, and of each part how it ended and its
rows with all raw samples; everything else stays in a temporary folder. What a part leaves of its
box goes to those after it. Exit code 1 if something computed wrong or the sanitizer found
something, else 0.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagen_fast.bench import gpu, machine
from on_gpu.report import ending, summary, whole

GRACE = 10  # seconds that a part may take beyond its box before it is ended
SANITIZER = "compute-sanitizer"
LOG = 3000  # characters of a log's end that are kept


@dataclass(frozen=True)
class Step:
    """A part: its share of the time, and command lines that run side by side."""

    name: str
    share: float
    commands: tuple[tuple[str, ...], ...]
    tells: str = ""  # what is known after it
    decides: bool = False  # whether the exit code is 1 if it fails


def steps(dry: bool) -> list[Step]:
    """What is dearest to know comes first."""

    def python(*arguments: str) -> tuple[str, ...]:
        return (sys.executable, *arguments)

    def part(name: str, *options: str) -> tuple[str, ...]:
        return python("-m", f"on_gpu.{name}", *options)

    dtypes = ("fp16",) if dry else ("bf16", "fp16")
    parity = tuple(part("parity", "--dtype", name) for name in dtypes)
    every = part("parity", "--compile-only", *(x for name in dtypes for x in ("--dtype", name)))
    watched = part("parity", "--watched")
    if not dry:
        options = ("--tool", "memcheck", "--report-api-errors", "no", "--error-exitcode", "9")
        watched = (SANITIZER, *options, *watched)
    found = [
        # An interpreter has nothing to compile.
        Step(
            "compile", 0.2, (part("program"),) if dry else (every, part("program")), decides=True,
            tells="every kernel compiles, and the C++ program",
        ),
        Step(
            "parity", 0.2, parity, decides=True,
            tells="every kernel and network is right in every dtype",
        ),
        Step(
            "sanitizer", 0.14, (part("embedded", "--watched"), watched), decides=True,
            tells="no kernel reads or writes beyond its memory",
        ),
        Step(
            "embedded", 0.06, (part("embedded"),), decides=True,
            tells="the C++ program is right, and how fast it is",
        ),
        Step(
            "end to end", 0.06, (part("end_to_end"),),
            tells="how fast pictures are beside PyTorch eager",
        ),
        Step("ceilings", 0.02, (part("ceilings"),), tells="what this GPU can do at most"),
        Step(
            "compiled", 0.18, (part("end_to_end", "--compiled"),),
            tells="how fast pictures are beside torch.compile",
        ),
        Step(
            "kernels", 0.14, (part("kernels"),),
            tells="how fast each kernel is beside its roof and PyTorch's",
        ),
    ]  # fmt: skip
    # The interpreter takes long, and `compiled` does the same and more.
    return [step for step in found if step.name != "end to end"] if dry else found


def run(step: Step, work: Path, seconds: float, *mode: str) -> dict[str, Any]:
    """How a part ended, and its rows.

    work: a folder for all parts' files.
    mode: --dry-run, --compile-only, or nothing.
    """
    commands = [x for x in step.commands if "--compile-only" not in mode or mode[0] in x]
    if any(x[0] == SANITIZER for x in commands) and not shutil.which(SANITIZER):
        return {"left_out": f"{SANITIZER} is not installed here"}
    if seconds < 5:
        return {"left_out": "no time was left"}
    folder = work / step.name.replace(" ", "-")
    folder.mkdir(parents=True)
    start = time.monotonic()
    processes = []
    for index, command in enumerate(commands):
        log = (folder / f"log-{index}.txt").open("w")
        options = ["--out", str(folder), "--seconds", str(seconds), *mode]
        processes.append(
            subprocess.Popen(
                [*command, *options], stdout=log, stderr=subprocess.STDOUT,
                env=environment(step, work, mode), start_new_session=True,
            )
        )  # fmt: skip
        log.close()
    codes = [ended(x, start + seconds + GRACE - time.monotonic()) for x in processes]
    rows = [
        json.loads(line)
        for path in sorted(folder.glob("rows-*.jsonl"))
        for line in path.read_text().splitlines()
        if line.endswith("}")
    ]
    logs = [path.read_text(errors="replace")[-LOG:] for path in sorted(folder.glob("log-*.txt"))]
    return {
        "exit_codes": codes,
        "seconds": round(time.monotonic() - start, 1),
        "box": round(seconds, 1),
        "rows": rows,
        "files": {path.name: path.read_text() for path in folder.glob("*.json")},
        "log": logs,
    }


def environment(step: Step, work: Path, mode: tuple[str, ...]) -> dict[str, str]:
    """A part's."""
    found = {
        **os.environ,
        "BUILT": str(work / "built"),
        "TORCHINDUCTOR_CACHE_DIR": str(work / "cache" / "inductor"),
    }
    found.setdefault("TRITON_CACHE_DIR", str(work / "cache" / "triton"))
    if "--dry-run" in mode:
        found["TRITON_INTERPRET"] = "1"
    elif step.name == "sanitizer":
        found["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"  # so that tensors have real borders
    return found


def ended(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    """The exit code; None if it had to be ended, with all that it started."""
    try:
        return process.wait(max(seconds, 1))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def failed(step: Step, found: dict[str, Any]) -> bool:
    """Whether a part that decides says no. One that ran out of time says nothing."""
    if not step.decides or "left_out" in found:
        return False
    return any(code not in (0, None) for code in found["exit_codes"]) or any(
        row.get("ok") is False for row in found["rows"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, help="900 where nothing is timed, else 420")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", dest="mode", action="store_const", const="--dry-run")
    mode.add_argument("--compile-only", dest="mode", action="store_const", const="--compile-only")
    parser.add_argument("--only", action="append", help="a part's name; may be repeated")
    options = parser.parse_args()
    given = () if options.mode is None else (options.mode,)
    whole_time = options.seconds or (900 if given else 420)
    start, told = time.monotonic(), list[str]()

    def tell(text: str) -> None:
        """A line with the minutes that have passed."""
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        told.append(f"{minutes}:{seconds:02} {text}")
        print(told[-1], flush=True)

    facts = machine.describe() | {"commit": os.environ["COMMIT"]}
    result: dict[str, Any] = {"machine": facts, "mode": options.mode, "before": gpu.state()}
    result |= {"ok": True, "parts": {}, "told": told}
    wanted = [x for x in steps("--dry-run" in given) if x.name in (options.only or [x.name])]
    if "--compile-only" in given:
        wanted = [x for x in wanted if x.name == "compile"]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        for index, step in enumerate(wanted):
            left = whole_time - (time.monotonic() - start) - GRACE
            seconds = left * step.share / sum(x.share for x in wanted[index:])
            tell(f"{step.name} begins, for {seconds:.0f} s at most")
            found = run(step, Path(name), seconds, *given)
            found["failed"] = failed(step, found)
            result["parts"][step.name] = found
            result["ok"] &= not found["failed"]
            known = f"; known now: {step.tells}" if whole(found) else ""
            tell(f"{step.name}: {ending(found)}{known}")
            save(result | {"after": gpu.state()}, options.out / "gpu.json")
    print("\n".join(summary(result)))
    return int(not result["ok"])


def save(result: dict[str, Any], path: Path) -> None:
    """After every part, so that a run that is cut off leaves what it has."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
