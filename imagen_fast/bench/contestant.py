"""A network on a runtime, with its settings, and the process in which it runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.bench.process import Child

WORKER = "imagen_fast.bench.worker"


@dataclass(frozen=True)
class Contestant:
    """What runs.

    Attributes:
        runtime: a name of `runtimes.RUNTIMES`, or of `backends.BACKENDS`.
        network: a bundle's path, or a name of `peer_networks.PEER_NETWORKS`.
        name: the network as tables show it.
        precision: fp32, bf16 or fp16.
        threads: CPU threads.
        device: cpu or cuda.
        isa: instruction set of the native engine; "" for the best.
        weights: a bundle that is run in place of the network's own; "" for none. What it gives
            is compared with the network's own answer all the same.
        environment: variables that are set before anything is loaded.
        tree: a checkout of this project whose package is measured; "" for this one.
    """

    runtime: str
    network: str
    name: str
    precision: str
    threads: int
    device: str = "cpu"
    isa: str = ""
    weights: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    tree: str = ""


@dataclass(frozen=True)
class Readiness:
    """What making ready for one shape of input took, and what came out of the first run.

    Attributes:
        import_s, build_s, first_s: seconds to import the runtime, to make the network ready, and
            of the first run.
        cold_s: seconds from the start of the process to the first picture.
        isa: instruction set, or what else the runtime says of itself.
        output: (N, s·H, s·W, 3) float32 in [0, 1].
    """

    import_s: float
    build_s: float
    first_s: float
    cold_s: float
    isa: str
    output: NDArray[np.float32]


class Worker(Child):
    """A contestant's process."""

    def __init__(self, contestant: Contestant) -> None:
        command = ["-m", WORKER]
        if contestant.tree:
            command = [str(Path(__file__).with_name("tree_worker.py")), contestant.tree]
        super().__init__([*command, json.dumps(asdict(contestant))], contestant.environment)

    def prepare(self, images: Path, file: str, seconds: float) -> Readiness:
        """Make ready for a .npy file (N, H, W, 3) float32, and run it once.

        `file` is what the runtime reads. Raises BenchmarkError, as `burst` does.
        """
        output = images.with_suffix(f".{self.pid}.npy")
        request = {"do": "prepare", "images": str(images), "output": str(output), "file": file}
        try:
            answer = self.ask(request, seconds)
            result: NDArray[np.float32] = np.load(output)
        finally:
            output.unlink(missing_ok=True)
        times = {key: answer[key] for key in ("import_s", "build_s", "first_s", "isa")}
        return Readiness(cold_s=answer["first_at"] - self.started, output=result, **times)

    def burst(self, seconds: float, limit: float) -> dict[str, Any]:
        """Run for about so many seconds, at least once.

        Returns the seconds of each run by the clock (`wall`) and of the processor in all threads
        (`cpu`), the joules of them all, and the most bytes that the process has held since it
        was last made ready (`peak`) and holds on a GPU (`device_peak`); None where nobody says.
        """
        return self.ask({"do": "burst", "seconds": seconds}, limit)
