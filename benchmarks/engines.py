"""One photograph through every engine that this project's weights run on: accuracy and time.

    python benchmarks/engines.py [--model sr-x4] [--picture FILE] [--seconds 60] [--threads N]

The reference (PyTorch, fp32), the native engine, and ONNX Runtime and OpenVINO on the file that
`imagen-fast export` writes, any size, in fp32 and fp16. Each is a process of its own; they run in
turns, so that a busy machine slows all alike. PSNR is that of all samples of the enlarged
photograph to the reference's, in dB. Prints the table and keeps it, raw samples too, in
benchmarks/results/engines.json.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from imagen_fast.export import photograph
from imagen_fast.export.options import Options
from numpy.typing import NDArray

from imagen_fast import catalogue
from imagen_fast.backends import backend_class
from imagen_fast.bench.contestant import Contestant, Readiness, Worker
from imagen_fast.bench.machine import describe, load
from imagen_fast.bench.runtimes import find
from imagen_fast.bench.summary import psnr
from imagen_fast.cores import cores
from imagen_fast.errors import BenchmarkError
from imagen_fast.tasks.export import export

RESULT = Path(__file__).parent / "results" / "engines.json"
OSPREY = Path(__file__).parents[1] / "examples" / "photographs" / "osprey.png"
# Title, runtime, precision it computes in, and precision of the exported file, "" for the bundle.
ENGINES = (
    ("reference: PyTorch", "eager", "fp32", ""),
    ("native", "native", "fp32", ""),
    ("native", "native", "bf16", ""),
    ("ONNX Runtime", "onnxruntime", "fp32", "fp32"),
    ("ONNX Runtime", "onnxruntime", "fp16", "fp16"),
    ("OpenVINO", "openvino", "fp32", "fp32"),
    ("OpenVINO", "openvino", "bf16", "fp32"),
)
TURN = 1.0  # seconds
PATIENCE = 300.0


def main() -> None:
    """Measure, print and keep."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sr-x4")
    parser.add_argument("--picture", type=Path, default=OSPREY)
    parser.add_argument("--seconds", type=float, default=60, help="of timing, for all together")
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    model = catalogue.resolve(options.model)
    picture = photograph.load(options.picture)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rows = measure(model, picture, Path(folder), options, stack)
    record = {
        "model": model.stem,
        "picture": f"{options.picture.name}, {picture.shape[1]}x{picture.shape[0]}",
        "threads": options.threads,
        "load_before": options.load,
        "machine": describe(),
        "rows": rows,
    }
    print(table(rows))
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


def measure(
    model: Path,
    picture: NDArray[np.uint8],
    folder: Path,
    options: argparse.Namespace,
    stack: ExitStack,
) -> list[dict[str, Any]]:
    """A row an engine, in the order of `ENGINES`."""
    options.load = load()
    images = folder / "picture.npy"
    np.save(images, picture[None].astype(np.float32) / np.float32(255))
    files = {"": (model, None), **dict(exported(model, folder))}
    rows, workers = [], []
    truth: NDArray[np.float32] | None = None
    for title, runtime, precision, kind in ENGINES:
        path, verified = files[kind]
        row = {"engine": title, "precision": precision, "psnr": None, "samples_ms": []}
        rows.append(row)
        try:
            worker, ready = start(model, runtime, precision, path, images, options, stack)
        except BenchmarkError as error:
            row["missing"] = str(error)
            continue
        truth = ready.output if truth is None else truth
        found = psnr(ready.output, truth)
        row |= {
            "isa": ready.isa,
            "psnr": round(found, 2) if math.isfinite(found) else None,
            "equal": found == math.inf,
            "first_ms": round(ready.first_s * 1e3, 1),
            "verified_at_export": verified,
        }
        workers.append((worker, row))
    take_turns(workers, options.seconds)
    return rows


def exported(model: Path, folder: Path) -> Iterator[tuple[str, tuple[Path, float]]]:
    """Each precision's file, verified, and its PSNR then."""
    for precision in ("fp32", "fp16"):
        made = export(model, "onnx", folder / f"{precision}.onnx", Options(precision=precision))
        assert made.verification is not None
        yield precision, (made.path, made.verification.worst)


def start(
    model: Path,
    runtime: str,
    precision: str,
    path: Path,
    images: Path,
    options: argparse.Namespace,
    stack: ExitStack,
) -> tuple[Worker, Readiness]:
    """The engine's process after its first run. Raises BenchmarkError."""
    missing = backend_class(runtime).missing() if path == model else find(runtime).missing()
    if missing:
        raise BenchmarkError(missing)
    worker = stack.enter_context(
        Worker(Contestant(runtime, str(model), model.stem, precision, options.threads))
    )
    return worker, worker.prepare(images, str(path), PATIENCE)


def take_turns(workers: list[tuple[Worker, dict[str, Any]]], seconds: float) -> None:
    """Bursts in turns, in another order every round, until the time is over."""
    end = time.monotonic() + seconds
    generator = random.Random(0)
    while time.monotonic() < end:
        generator.shuffle(workers)
        for worker, row in workers:
            burst = worker.burst(min(TURN, seconds / 4 / len(workers)), PATIENCE)
            row["samples_ms"] += [round(s * 1e3, 2) for s in burst["wall"]]


def table(rows: list[dict[str, Any]]) -> str:
    """For people, and for Markdown."""
    heads = ("engine", "computed in", "PSNR to the reference", "median", "runs")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        if "missing" in row:
            lines.append(f"| {row['engine']} | {row['precision']} | {row['missing']} | - | - |")
            continue
        name = f"{row['engine']} ({row['isa']})" if row["isa"] else row["engine"]
        accuracy = "equal" if row["equal"] else f"{row['psnr']:.1f} dB"
        samples = row["samples_ms"]
        lines.append(
            f"| {name} | {row['precision']} | {accuracy} | {statistics.median(samples):.0f} ms "
            f"| {len(samples)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
