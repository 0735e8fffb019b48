"""One network on one runtime in a process of its own, run when asked: see `Contestant`.

    python benchmarks/contestant.py '{"runtime": "native", "file": ..., ...}'

writes its output for the image to a file, then runs once for every line that it reads and prints
the seconds of the clock and of the processor.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Run = Callable[[], Array]


@dataclass
class Contestant:
    """What to run: `file` is a bundle (native, torch) or an ONNX model of a fixed shape.

    Attributes:
        runtime: a name of `RUNTIMES`.
        precision: fp32 or bf16.
        image: a .npy file, (1, H, W, 3) float32 in [0, 1].
        isa: of the native engine; "" for the best.
        environment: variables that are set before the runtime is loaded.
    """

    runtime: str
    file: str
    precision: str
    threads: int
    image: str
    isa: str = ""
    environment: dict[str, str] = field(default_factory=dict)


class Worker:
    """A contestant's process. Raises RuntimeError if it does not get as far as its first output."""

    def __init__(self, contestant: Contestant) -> None:
        output = f"{contestant.image}.{os.getpid()}.out.npy"
        command = [sys.executable, __file__, json.dumps(asdict(contestant)), output]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **contestant.environment},
        )
        assert self._process.stdout is not None
        self.what = self._process.stdout.readline().strip()
        if not self.what:
            raise RuntimeError(f"{contestant.runtime} failed; its message is above")
        self.output: Array = np.load(output)
        Path(output).unlink()

    def run(self) -> tuple[float, float]:
        """Seconds of one run: by the clock, and of the processor in all threads."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        wall, cpu = map(float, self._process.stdout.readline().split())
        return wall, cpu

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def native(c: Contestant, image: Array) -> tuple[Run, str]:
    """This project's engine."""
    from imagen_fast.backends.native import Native
    from imagen_fast.bundle import load_bundle

    backend = Native(load_bundle(Path(c.file)), precision=c.precision, threads=c.threads, isa=c.isa)
    return lambda: backend.run(image), f"{backend.isa}"


def torch_eager(c: Contestant, image: Array, compiled: bool = False) -> tuple[Run, str]:
    """PyTorch, channels_last, under autocast for bf16."""
    import torch

    from imagen_fast.bundle import load_bundle
    from imagen_fast.models.build import build

    torch.set_num_threads(c.threads)
    network = build(load_bundle(Path(c.file))).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = torch.compile(network, dynamic=False) if compiled else network

    def run() -> Array:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=c.precision == "bf16"),
        ):
            x = torch.from_numpy(image).permute(0, 3, 1, 2)
            output: Array = forward(x).float().clamp_(0, 1).permute(0, 2, 3, 1).numpy()
            return output

    return run, torch.backends.cpu.get_cpu_capability()


def torch_compiled(c: Contestant, image: Array) -> tuple[Run, str]:
    """The same through torch.compile."""
    return torch_eager(c, image, compiled=True)


def openvino(c: Contestant, image: Array) -> tuple[Run, str]:
    """OpenVINO with its latency and precision hints."""
    import openvino as ov

    x = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[c.precision],
        "INFERENCE_NUM_THREADS": c.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = ov.compile_model(c.file, "CPU", settings).create_infer_request()
    return lambda: request.infer({0: x})[0].clip(0, 1).transpose(0, 2, 3, 1), ""


def onnxruntime(c: Contestant, image: Array) -> tuple[Run, str]:
    """ONNX Runtime's CPU provider, which has fp32 alone."""
    import onnxruntime as ort

    x = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    options = ort.SessionOptions()
    options.intra_op_num_threads = c.threads
    session = ort.InferenceSession(c.file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0].clip(0, 1).transpose(0, 2, 3, 1), ""


RUNTIMES = {
    "native": native,
    "torch": torch_eager,
    "torch compiled": torch_compiled,
    "openvino": openvino,
    "onnxruntime": onnxruntime,
}


def main() -> None:
    """Be a worker."""
    contestant = Contestant(**json.loads(sys.argv[1]))
    image = np.load(contestant.image)
    run, what = RUNTIMES[contestant.runtime](contestant, image)
    np.save(sys.argv[2], run())
    print(what or contestant.runtime, flush=True)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        run()
        print(time.perf_counter() - start, time.process_time() - cpu, flush=True)


if __name__ == "__main__":
    main()
