"""Runs the parts in boxes of time, whatever becomes of the ones before; one JSON at the end.

    python -m on_gpu OUT [--seconds 540] [--dry-run] [--only PART]

OUT/gpu.json holds machine, clocks before and after, and of each part how it ended and its rows with
all raw samples. Exit code 1 if parity failed or the sanitizer found something, else 0.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagen_fast.bench import gpu, machine
from on_gpu.report import summary

GRACE = 10  # seconds that a part may take beyond its box before it is ended
SANITIZER = "compute-sanitizer"


@dataclass(frozen=True)
class Step:
    """A part: its share of the time, and command lines that run side by side."""

    name: str
    share: float
    commands: tuple[tuple[str, ...], ...]
    decides: bool = False  # whether the exit code is 1 if it fails


def steps(dry: bool) -> list[Step]:
    def python(*arguments: str) -> tuple[str, ...]:
        return (sys.executable, *arguments)

    dtypes = ("fp16",) if dry else ("bf16", "fp16", "fp32")
    parity = tuple(python("-m", "on_gpu.parity", "--dtype", name) for name in dtypes)
    watched = python("-m", "on_gpu.sanitize")
    if not dry:
        watched = (SANITIZER, "--tool", "memcheck", "--error-exitcode", "9", *watched)
    tune = str(Path(__file__).parents[1] / "tune_triton.py")
    return [
        Step("parity", 0.2, parity, decides=True),
        Step("sanitizer", 0.1, (watched,), decides=True),
        Step("ceilings", 0.04, (python("-m", "on_gpu.ceilings"),)),
        Step("tuning", 0.18, (python(tune),)),
        Step("kernels", 0.16, (python("-m", "on_gpu.kernels"),)),
        Step("embedded", 0.1, (python("-m", "on_gpu.embedded"),), decides=True),
        Step("end to end", 0.22, (python("-m", "on_gpu.end_to_end"),)),
    ]


def run(step: Step, out: Path, seconds: float, dry: bool) -> dict[str, Any]:
    """How a part ended, and its rows."""
    if step.commands[0][0] == SANITIZER and shutil.which(SANITIZER) is None:
        return {"left_out": f"{SANITIZER} is not installed here"}
    if seconds < 5:
        return {"left_out": "no time was left"}
    folder = out / step.name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)  # an earlier run's
    folder.mkdir(parents=True)
    environment = {**os.environ, "TRITON_CACHE_DIR": str(out / "cache" / "triton")}
    environment["TORCHINDUCTOR_CACHE_DIR"] = str(out / "cache" / "inductor")
    environment["IMAGEN_FAST_TRITON_CONFIGS"] = str(out / "tuning")
    if dry:
        environment["TRITON_INTERPRET"] = "1"
    elif step.name == "sanitizer":
        environment["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"  # so that tensors have real borders
    options = ["--out", str(folder), "--seconds", str(seconds), *["--dry-run"] * dry]
    start = time.monotonic()
    processes = []
    for index, command in enumerate(step.commands):
        log = (folder / f"log-{index}.txt").open("w")
        processes.append(
            subprocess.Popen(
                [*command, *options], stdout=log, stderr=subprocess.STDOUT, env=environment,
                start_new_session=True,
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
    tails = [path.read_text(errors="replace")[-3000:] for path in sorted(folder.glob("log-*.txt"))]
    return {
        "exit_codes": codes,
        "seconds": round(time.monotonic() - start, 1),
        "box": round(seconds, 1),
        "rows": rows,
        "log": tails,
    }


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
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--only", action="append", help="a part's name; may be repeated")
    options = parser.parse_args()
    out, dry = options.out.resolve(), options.dry_run
    out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.seconds
    facts = machine.describe()
    facts["commit"] = os.environ.get("COMMIT") or facts["commit"]
    result: dict[str, Any] = {"machine": facts, "dry_run": dry, "before": gpu.state(), "parts": {}}
    bad = False
    for step in steps(dry):
        if options.only and step.name not in options.only:
            continue
        seconds = min(step.share * options.seconds, end - time.monotonic() - GRACE)
        print(f"{step.name}: up to {seconds:.0f} s", flush=True)
        found = run(step, out, seconds, dry)
        found["failed"] = failed(step, found)
        bad |= found["failed"]
        result["parts"][step.name] = found
        result |= {"after": gpu.state(), "ok": not bad}
        save(result, out / "gpu.json")
    print("\n".join(summary(result)))
    return int(bad)


def save(result: dict[str, Any], path: Path) -> None:
    """After every part, so that a run that is cut off leaves what it has."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n")
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
