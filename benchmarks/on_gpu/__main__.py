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

from imagen_fast import atomic
from imagen_fast.bench import gpu, machine
from on_gpu.part import MODES, SANITIZER
from on_gpu.report import ending, summary, whole

GRACE = 10  # seconds that a part may take beyond its box before it is ended
LOG = 3000  # characters of a log's end that are kept
Line = tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A part: its share of the time, and command lines that run side by side.

    tells: what is known after it. decides: whether the exit code is 1 if it fails.
    """

    name: str
    share: float
    commands: tuple[Line, ...]
    tells: str = ""
    decides: bool = False


def work(name: str, *options: str, dtypes: Line = ()) -> Line:
    """The line of a part's function, over some dtypes."""
    chosen = [option for dtype in dtypes for option in ("--dtype", dtype)]
    return (sys.executable, "-m", "on_gpu.part", name, *options, *chosen)


def steps(mode: str) -> list[Step]:
    """What is dearest to know comes first."""
    dry, dtypes = mode == MODES[0], ("bf16", "fp16")
    every = work("gpu_parity.compare", MODES[1], dtypes=dtypes)
    if mode == MODES[1]:
        return [Step("compile", 1, (every,), "every kernel compiles", True)]
    build, watched = work("on_gpu.embedded.build"), work("gpu_parity.watched")
    watched = watched if dry else (*SANITIZER, "--tool", "memcheck", *watched)
    compare = [work("gpu_parity.compare", dtypes=(x,)) for x in dtypes[1 if dry else 0 :]]
    found = [
        # An interpreter has nothing to compile.
        Step("compile", 0.2, (build,) if dry else (every, build),
             "every kernel compiles, and the C++ program", True),
        Step("parity", 0.19, tuple(compare), "every kernel and network is right in every dtype",
             True),
        Step("sanitizer", 0.13, (work("on_gpu.embedded.watched"), watched),
             "no kernel reads or writes beyond its memory", True),
        Step("embedded", 0.06, (work("on_gpu.embedded.measure"),),
             "the C++ program is right, and how fast it is", True),
        Step("end to end", 0.06, (work("on_gpu.speed.eager"),),
             "how fast pictures are beside PyTorch eager"),
        Step("ceilings", 0.02, (work("on_gpu.speed.ceilings"),), "what this GPU can do at most"),
        Step("counters", 0.05, (work("on_gpu.embedded.counters"),), "what each launch waits for"),
        Step("compiled", 0.17, (work("on_gpu.speed.compiled"),),
             "how fast pictures are beside torch.compile"),
        Step("kernels", 0.12, (work("on_gpu.speed.kernels"),),
             "how fast each kernel is beside its roof and PyTorch's"),
    ]  # fmt: skip
    # The interpreter takes long, and `compiled` does the same and more; it has no counters.
    return [step for step in found if not (dry and step.name in ("end to end", "counters"))]


def run(step: Step, folder: Path, seconds: float, mode: str = "") -> dict[str, Any]:
    """How a part ended, and its rows. `folder` is for all parts' files."""
    if any(line[0] == SANITIZER[0] for line in step.commands) and not shutil.which(SANITIZER[0]):
        return {"left_out": f"{SANITIZER[0]} is not installed here"}
    if seconds < 5:
        return {"left_out": "no time was left"}
    out, start = folder / step.name.replace(" ", "-"), time.monotonic()
    out.mkdir(parents=True)
    options = ["--out", str(out), "--seconds", str(seconds), *([mode] if mode == MODES[0] else [])]
    variables, processes, logs = environment(step, folder, mode), [], []
    for index, command in enumerate(step.commands):
        logs.append(out / f"log-{index}.txt")
        with logs[-1].open("w") as log:
            how: Any = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
            processes.append(subprocess.Popen([*command, *options], env=variables, **how))
    try:
        codes = [ended(x, start + seconds + GRACE - time.monotonic()) for x in processes]
    finally:  # whatever ends this, nothing goes on using the GPU
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = [x for path in sorted(out.glob("rows-*")) for x in path.read_text().splitlines()]
    return {
        "exit_codes": codes,
        "seconds": round(time.monotonic() - start, 1),
        "box": round(seconds, 1),
        "rows": [json.loads(line) for line in lines if line.endswith("}")],
        "log": [path.read_text(errors="replace")[-LOG:] for path in logs],
    }


def environment(step: Step, folder: Path, mode: str) -> dict[str, str]:
    """A part's."""
    found = {**os.environ, "BUILT": str(folder / "built")}
    found["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "cache" / "inductor")
    found.setdefault("TRITON_CACHE_DIR", str(folder / "cache" / "triton"))
    if mode == MODES[0]:
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
    parser.add_argument("--seconds", type=float, help="1800 where nothing is timed, else 420")
    modes = parser.add_mutually_exclusive_group()
    for mode in MODES:
        modes.add_argument(mode, dest="mode", action="store_const", const=mode, default="")
    parser.add_argument("--only", action="append", help="a part's name; may be repeated")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    mode, start, told = options.mode, time.monotonic(), list[str]()
    end = start + (options.seconds or (1800 if mode else 420))

    def tell(text: str) -> None:
        """A line with the minutes that have passed."""
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        told.append(f"{minutes}:{seconds:02} {text}")
        print(told[-1], flush=True)

    facts = machine.describe() | {"commit": os.environ["COMMIT"]}
    result: dict[str, Any] = {"machine": facts, "mode": mode, "before": gpu.state()}
    result |= {"ok": True, "parts": {}, "told": told}
    wanted = [x for x in steps(mode) if x.name in (options.only or [x.name])]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for index, step in enumerate(wanted):
            share = step.share / sum(x.share for x in wanted[index:])
            seconds = (end - time.monotonic() - GRACE) * share
            tell(f"{step.name} begins, for {seconds:.0f} s at most")
            found = run(step, Path(folder), seconds, mode)
            found["failed"] = failed(step, found)
            result["parts"][step.name] = found
            result["ok"] &= not found["failed"]
            known = f"; known now: {step.tells}" if whole(found) else ""
            tell(f"{step.name}: {ending(found)}{known}")
            # After every part, so that a run that is cut off leaves what it has.
            text = json.dumps(result | {"after": gpu.state()}, indent=1)
            atomic.write(options.out / "gpu.json", f"{text}\n".encode())
    print("\n".join(summary(result)))
    return int(not result["ok"])


if __name__ == "__main__":
    sys.exit(main())
