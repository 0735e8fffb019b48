"""Other people's networks with their own weights, beside this project's engine: time and quality.

    python benchmarks/peers.py FILE ... [--model sr-x4-tiny] [--threads N] [--seconds 120]

A FILE is an ONNX network (N, 3, H, W) → (N, 3, 4·H, 4·W) of open size, which OpenVINO runs, or an
ncnn network (FILE.param beside FILE.bin), which ncnn runs; both in
fp32 and bf16. Everyone enlarges the same 256×256 picture in turns, from floats in memory to floats
in memory. PSNR is that on Set5, below $IMAGEN_FAST_DATA. Prints the table and keeps it, with every
time, in benchmarks/results/peers.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import imagen_fast
from imagen_fast.bench import machine, record, table
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.timing import Summary, for_a_while, in_turns
from imagen_fast.cores import cores
from imagen_fast.image.picture import Picture
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import PROTOCOLS

RESULT = Path(__file__).parent / "results" / "peers.json"
SCALE, SIDE, TURN = 4, 256, 0.5
Planes = NDArray[np.float32]  # (3, H, W), from 0 to 1
Run = Callable[[Planes], Planes]  # → (3, s·H, s·W), not clamped


def on_openvino(path: Path, precision: str, threads: int) -> Run:
    import openvino

    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32"}.get(precision, precision),
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(path), "CPU", hints).create_infer_request()
    return lambda planes: request.infer([planes[None]])[0][0]


def on_ncnn(path: Path, precision: str, threads: int) -> Run:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads, net.opt.use_vulkan_compute = threads, False
    net.opt.use_bf16_storage = precision == "bf16"
    if net.load_param(str(path)) or net.load_model(str(path.with_suffix(".bin"))):
        raise SystemExit(f"{path}: ncnn cannot read it, or the .bin beside it")

    picture, enlarged = net.input_names()[0], net.output_names()[-1]

    def run(planes: Planes) -> Planes:
        extractor = net.create_extractor()
        extractor.input(picture, ncnn.Mat(planes))
        return np.array(extractor.extract(enlarged)[1])

    return run


RUNTIMES = {".onnx": ("openvino", on_openvino), ".param": ("ncnn", on_ncnn)}


def enlarger(run: Run) -> Callable[[Picture], Picture]:
    """As an `Engine`, for `evaluate`."""

    def enlarge(picture: Picture) -> Picture:
        planes = np.ascontiguousarray(picture.color.transpose(2, 0, 1), np.float32) / 255
        output = np.rint(255 * run(planes).clip(0, 1)).astype(np.uint8)
        return Picture(np.ascontiguousarray(output.transpose(1, 2, 0)))

    return enlarge


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", default="sr-x4-tiny")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    load, batch = machine.load(), pictures(1, SIDE)
    planes = np.ascontiguousarray(batch[0].transpose(2, 0, 1))
    protocol = PROTOCOLS["set5"].at(SCALE)
    set5 = [found.source for found in in_folder(protocol.folder(None)).pictures]
    with imagen_fast.load(options.model, threads=options.threads) as engine:
        names = [(options.model, engine.info()["backend"], engine.info()["precision"])]
        runs: list[Callable[[], Any]] = [lambda: engine.run(batch)]
        enlargers: list[Any] = [engine]
        for path in options.files:
            runtime, make = RUNTIMES[path.suffix]
            for precision in ("fp32", "bf16"):
                run = make(path, precision, options.threads)
                names.append((path.stem, runtime, precision))
                runs.append(partial(run, planes))
                enlargers.append(enlarger(run))
        rows: list[record.Row] = []
        for name, enlarge in zip(names, enlargers, strict=True):
            scores = [score.model for score in evaluate(set5, protocol, enlarge) if score.model]
            row = dict(zip(("network", "runtime", "precision"), name, strict=True))
            rows.append(row | {"size": SIDE, "set5": round(mean(scores).psnr, 2)})
        bursts = {str(i): for_a_while(run, TURN) for i, run in enumerate(runs)}
        samples = in_turns(bursts, options.seconds)
    first = Summary.of(samples["0"]).p50
    for row, times in zip(rows, samples.values(), strict=True):
        row |= {"samples_ms": times, "times": round(Summary.of(times).p50 / first, 3)}
    table.show(rows)
    command = f"python benchmarks/peers.py {' '.join(path.name for path in options.files)}"
    made = record.record(command, rows, (load, machine.load()), threads=options.threads)
    record.write(made, RESULT)


if __name__ == "__main__":
    main()
