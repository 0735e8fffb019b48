"""The process of one contestant: makes its network ready, and runs it when it is asked to.

python -m imagen_fast.bench.worker '{"runtime": "native", "precision": "fp32", ...}'
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imagen_fast.bench import gpu
from imagen_fast.bench.process import Child, serve
from imagen_fast.bench.runtimes import Contestant, Images, Run, find
from imagen_fast.bench.timing import for_a_while

LONGEST = 0.3  # seconds of a turn, or one run
GRACE = 60.0  # seconds that one run may take


@dataclass(frozen=True)
class Readiness:
    """What the first run for one shape of input gave: (N, s·H, s·W, 3) float32 in [0, 1]; the
    instruction set; and seconds since the process began, at the first shape.
    """

    output: Images
    isa: str
    seconds: float


class Worker(Child):
    """A contestant's process, as others see it. All methods raise BenchmarkError."""

    def __init__(self, c: Contestant) -> None:
        super().__init__(["-m", __name__, json.dumps(asdict(c))])
        self._first_at: float | None = None

    def prepare(self, images: Path, file: str | Path, seconds: float) -> Readiness:
        """Make ready for a .npy file (N, H, W, 3) float32, and run it once.

        `file` is what the runtime reads.
        """
        output = images.with_suffix(f".{self.pid}.npy")
        request = {"do": "prepare", "images": str(images), "output": str(output)}
        try:
            answer = self.ask({**request, "file": str(file)}, seconds)
            self._first_at = self._first_at or answer["at"]
            return Readiness(np.load(output), answer["isa"], self._first_at - self.started)
        finally:
            output.unlink(missing_ok=True)

    def burst(self, seconds: float = LONGEST) -> list[float]:
        """Milliseconds of each run of a turn of about so many seconds."""
        answer = self.ask({"do": "burst", "seconds": seconds}, 2 * seconds + 3 * GRACE)
        found: list[float] = answer["ms"]
        return found

    def memory(self) -> tuple[int | None, int | None]:
        """Most bytes since it was last made ready, and bytes on GPUs; None where nobody says."""
        answer = self.ask({"do": "memory"}, GRACE)
        return answer["peak"], answer["device"]


class Answers:
    """The contestant in its own process, which answers `Worker`'s requests."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._run: Run | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What `request["do"]` asks for."""
        if request["do"] == "prepare":
            return self._prepare(np.load(request["images"]), request["file"], request["output"])
        if request["do"] == "memory":
            on_gpu = self._contestant.device != "cpu"
            return {"peak": _peak(), "device": gpu.memory(os.getpid()) if on_gpu else None}
        assert self._run is not None
        return {"ms": for_a_while(self._run, request["seconds"])()}

    def _prepare(self, images: Images, file: str, output: str) -> dict[str, Any]:
        self._run = None  # a network at a time
        gc.collect()
        with suppress(OSError):  # no Linux, or not allowed: the peak is the whole process's
            Path("/proc/self/clear_refs").write_text("5")
        self._run, isa = find(self._contestant.runtime).ready(self._contestant, images, file)
        result, at = self._run(), time.monotonic()
        np.save(output, np.ascontiguousarray(result, np.float32))
        return {"at": at, "isa": isa}


def _peak() -> int | None:
    """Bytes of memory that this process has held at most; None where nobody says."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM")), None)


if __name__ == "__main__":
    serve(Answers(Contestant(**json.loads(sys.argv[1]))).answer)
