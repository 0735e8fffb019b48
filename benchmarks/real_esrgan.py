"""Real-ESRGAN's small network on ncnn, as its tools run it on a CPU, beside this project's engine.

    python benchmarks/real_esrgan.py FOLDER [--threads N] [--rounds 12]

FOLDER holds realesr-animevideov3-x4.param and .bin, which come with Real-ESRGAN's ncnn package;
`pip install ncnn` brings the runtime. Both enlarge the same 256×256 picture four times, in turns,
so that a busy machine slows both alike; input and output are floats in memory. PSNR is that on
Set5, below $IMAGEN_FAST_DATA. Prints what it finds and keeps it, with every time, in
benchmarks/results/real-esrgan.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import ncnn
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import imagen_fast
from imagen_fast.bench.machine import cores, describe, load
from imagen_fast.bench.summary import Summary
from imagen_fast.image.picture import Picture
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.files import pictures_in
from imagen_fast.tasks.protocols import Protocol

RESULT = Path(__file__).parent / "results" / "real-esrgan.json"
OSPREY = Path(__file__).parents[1] / "examples" / "photographs" / "osprey.png"
MODEL, NETWORK, SCALE, SIDE = "sr-x4-tiny", "realesr-animevideov3-x4", 4, 256
RUNS, PAUSE = 5, 0.1  # of one before it is the other's turn; seconds until the one's threads sleep


class OnNcnn:
    """The network; `bf16` keeps features and weights in bf16, ncnn's fastest setting on a CPU."""

    def __init__(self, folder: Path, threads: int, bf16: bool) -> None:
        self.net = ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.opt.use_vulkan_compute = False
        self.net.opt.use_bf16_storage = bf16
        for read, suffix in ((self.net.load_param, "param"), (self.net.load_model, "bin")):
            path = folder / f"{NETWORK}.{suffix}"
            if read(str(path)):
                raise SystemExit(f"{path}: ncnn cannot read it")

    def run(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(3, H, W) → (3, s·H, s·W), from 0 to 1, not clamped."""
        extractor = self.net.create_extractor()
        extractor.input("data", ncnn.Mat(planes))
        _, output = extractor.extract("output")
        return np.array(output)

    def __call__(self, picture: Picture) -> Picture:
        """As an `Engine`, for `evaluate`."""
        samples = picture.color.astype(np.float32) / 255
        planes = np.ascontiguousarray(samples.transpose(2, 0, 1))
        output = np.rint(255 * self.run(planes).clip(0, 1)).astype(np.uint8)
        return Picture(np.ascontiguousarray(output.transpose(1, 2, 0)))


def main() -> None:
    """Measure, print and keep."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    before = load()
    with Image.open(OSPREY) as photograph:
        small = photograph.convert("RGB").resize((SIDE, SIDE))
    batch = np.asarray(small, np.float32)[None] / 255
    planes = np.ascontiguousarray(batch[0].transpose(2, 0, 1))
    set5 = pictures_in(Path(os.environ["IMAGEN_FAST_DATA"]) / "test" / "set5")
    with imagen_fast.load(MODEL, threads=options.threads) as engine:
        on_ncnn = {
            f"{NETWORK} on ncnn, {name}": OnNcnn(options.folder, options.threads, name == "bf16")
            for name in ("fp32", "bf16")
        }
        info = engine.info()
        ours = f"{MODEL}, {info['backend']}, {info['precision']}"
        times = in_turns(
            {
                ours: lambda: engine.run(batch),
                **{name: lambda net=net: net.run(planes) for name, net in on_ncnn.items()},
            },
            options.rounds,
        )
        rows = []
        for name, samples in times.items():
            scores = list(evaluate(set5, Protocol(scale=SCALE), on_ncnn.get(name, engine)))
            found = mean([score.model for score in scores if score.model])
            median = round(Summary.of(samples).p50, 2)
            rows.append({"name": name, "median_ms": median, "set5": round(found.psnr, 2)})
            rows[-1]["samples_ms"] = [round(sample, 2) for sample in samples]
            print(f"{name:45} {median:8.1f} ms {found.psnr:8.2f} dB on Set5")
    record = {
        "picture": f"{SIDE}x{SIDE}, {SCALE} times",
        "threads": options.threads,
        "load_before": before,
        "machine": describe(),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


def in_turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every run but the first of each turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            for _ in range(RUNS):
                start = time.perf_counter()
                run()
                times[name].append(1e3 * (time.perf_counter() - start))
            time.sleep(PAUSE)
    return times


if __name__ == "__main__":
    main()
