"""The native engine against PyTorch, OpenVINO and ONNX Runtime, and tiny against other networks.

Each contestant is a process of its own; they run in turns, so that a busy machine slows all alike,
and the median counts, with PSNR against float64 beside it. One whose answer is wrong gets no time.
`cpu` is processor time of all threads: what remains comparable when others use the machine.

    python benchmarks/native.py [--rounds N] [SECTION ...]

prints tables and keeps them in benchmarks/results/native.json. Sections: network (sr-x4-tiny at 64²
and 256², 1 and 2 threads), iso, rivals, avx2, sizes, threads, call; all of them if none is named.
What is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import machine
import networks
import numpy as np
from contestant import Contestant, Worker
from PIL import Image

from imagen_fast import _native, load
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.spec import Level, ModelSpec

HERE = Path(__file__).parent
PHOTOGRAPH = HERE.parent / "examples" / "photographs" / "osprey.png"
RESULT = HERE / "results" / "native.json"
PRECISIONS = ("fp32", "bf16")
PAUSE = 0.3  # seconds, after which the threads of the runtime before wait awake no longer
WORST_PSNR = {"fp32": 80.0, "bf16": 40.0}  # below it, something else is being computed
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}

Entry = tuple[str, Contestant]  # network, and what runs it


def photograph(side: int) -> np.ndarray:
    """(1, side, side, 3) float32 in [0, 1]."""
    image = Image.open(PHOTOGRAPH).convert("RGB").resize((side, side))
    return np.asarray(image)[None] / np.float32(255)


def contestants(
    name: str, folder: Path, side: int, threads: int, isa: str = "", compiled: bool = False
) -> list[Entry]:
    """Whatever can run one of our own networks here."""
    image = folder / f"{side}.npy"
    np.save(image, photograph(side))
    environment = AVX2 if isa == "avx2" else {}
    bundle = str(networks.bundle(name, folder))
    found: list[tuple[str, str, str]] = []
    for precision in PRECISIONS:
        sets = _native.available(precision)
        if isa in sets if isa else sets:
            found.append(("native", bundle, precision))
        if isa and precision == "bf16":
            continue  # no runtime has bf16 on AVX2
        found.append(("torch", bundle, precision))
        if compiled:
            found.append(("torch compiled", bundle, precision))
        if find_spec("openvino"):
            found.append(("openvino", str(networks.onnx(name, side, folder)), precision))
    if find_spec("onnxruntime") and not isa:  # it has no switch for AVX2
        found.append(("onnxruntime", str(networks.onnx(name, side, folder)), "fp32"))
    return [
        (name, Contestant(runtime, file, precision, threads, str(image), isa, environment))
        for runtime, file, precision in found
    ]


def compare(entries: list[Entry], folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Check everyone's answer, then time them in turns."""
    truths: dict[tuple[str, str], np.ndarray] = {}
    workers: list[tuple[Worker, dict[str, Any]]] = []
    for name, contestant in entries:
        key = (name, contestant.image)
        if key not in truths:
            truths[key] = networks.truth(name, np.load(contestant.image), folder)
        worker = Worker(contestant)
        psnr = -10 * np.log10(np.mean((worker.output - truths[key]) ** 2))
        row = {
            "network": name,
            "runtime": contestant.runtime,
            "precision": contestant.precision,
            "isa": worker.what if contestant.runtime == "native" else "",
            "threads": contestant.threads,
            "side": int(np.load(contestant.image).shape[1]),
            "psnr_to_float64": round(float(psnr), 1),
        }
        if psnr < WORST_PSNR[contestant.precision]:
            print(f"  {contestant.runtime} {contestant.precision} is wrong: {psnr:.1f} dB: no time")
            worker.close()
        else:
            workers.append((worker, row))
    times: list[list[tuple[float, float]]] = [[] for _ in workers]
    for _ in range(rounds):
        for (worker, _), taken in zip(workers, times, strict=True):
            time.sleep(PAUSE)
            taken.append(worker.run())
    for (worker, row), taken in zip(workers, times, strict=True):
        worker.close()
        walls, cpus = zip(*taken, strict=True)
        row["median_ms"] = round(statistics.median(walls) * 1e3, 2)
        row["cpu_ms"] = round(statistics.median(cpus) * 1e3, 2)
        row["samples_ms"] = [round(wall * 1e3, 2) for wall in walls]
    rows = [row for _, row in workers]
    show(rows)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """A table, each row beside the native engine's of its precision (or its only one)."""
    ours = {row["precision"]: row for row in rows if row["runtime"] == "native"}
    for row in rows:
        mine = ours.get(row["precision"]) or next(iter(ours.values()))
        what = f"{row['network']} {row['runtime']} {row['precision']} {row['isa']}"
        print(
            f"  {what:42}{row['side']:5}² {row['threads']} threads{row['median_ms']:9.1f} ms"
            f"{row['cpu_ms']:9.1f} cpu{row['psnr_to_float64']:7.1f} dB"
            f"{row['median_ms'] / mine['median_ms']:7.2f}×"
            f"{row['cpu_ms'] / mine['cpu_ms']:7.2f}× cpu",
            flush=True,
        )


def network(folder: Path, rounds: int) -> list[dict[str, Any]]:
    rows = []
    for side in (64, 256):
        for threads in (1, 2):
            compiled = (side, threads) == (256, 2)
            entries = contestants("sr-x4-tiny", folder, side, threads, compiled=compiled)
            rows += compare(entries, folder, rounds)
    return rows


def iso(folder: Path, rounds: int) -> list[dict[str, Any]]:
    return compare(contestants("iso", folder, 256, 2), folder, rounds)


def rivals(folder: Path, rounds: int) -> list[dict[str, Any]]:
    entries = [e for e in contestants("sr-x4-tiny", folder, 256, 2) if e[1].runtime == "native"]
    if find_spec("spandrel") and find_spec("openvino"):
        for name in networks.RIVALS:
            file = str(networks.onnx(name, 256, folder))
            image = entries[0][1].image
            entries += [(name, Contestant("openvino", file, p, 2, image)) for p in PRECISIONS]
    return compare(entries, folder, rounds)


def avx2(folder: Path, rounds: int) -> list[dict[str, Any]]:
    return compare(contestants("sr-x4-tiny", folder, 256, 2, isa="avx2"), folder, rounds)


def sizes(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """What a pixel costs in a picture of any size, tiles and all."""
    rows = []
    with load("sr-x4-tiny", backend="native") as engine:
        for side in (64, 128, 256, 512, 1024, 2048, 4096):
            image = (photograph(min(side, 1024))[0] * 255).round().astype(np.uint8)
            image = np.tile(image, (max(1, side // 1024), max(1, side // 1024), 1))
            engine(image[:64, :64])
            taken = []
            for _ in range(max(1, min(rounds, 2**22 // side**2))):
                start = time.perf_counter()
                engine(image)
                taken.append((time.perf_counter() - start) / side**2 * 1e9)
            rows.append({"side": side, "ns_per_pixel": [round(x, 1) for x in taken]})
            print(f"  {side:5}²{statistics.median(taken):9.0f} ns a pixel", flush=True)
    return rows


def threads(folder: Path, rounds: int) -> list[dict[str, Any]]:
    entries = []
    for count in range(1, (os.cpu_count() or 1) + 1):
        all_of_them = contestants("sr-x4-tiny", folder, 256, count)
        entries += [entry for entry in all_of_them if entry[1].runtime == "native"]
    return compare(entries, folder, rounds)


def call(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """A call on one pixel of the smallest network: mostly not the kernels."""
    from imagen_fast.models.generator import Generator

    spec = ModelSpec(scale=1, levels=(Level(16, convs=0),), head_dim=16, window=2)
    tensors = {name: value.numpy() for name, value in Generator(spec).state_dict().items()}
    backend = Native(Bundle(spec, tensors), threads=1)
    tiles = np.zeros((1, 1, 1, 3), np.uint8)
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        backend.run(tiles)
        times.append(time.perf_counter() - start)
    median = round(statistics.median(times) * 1e6, 1)
    print(f"  {median} µs a call")
    return [{"call_us": median}]


SECTIONS: dict[str, Callable[[Path, int], list[dict[str, Any]]]] = {
    "network": network,
    "iso": iso,
    "rivals": rivals,
    "avx2": avx2,
    "sizes": sizes,
    "threads": threads,
    "call": call,
}


def main() -> None:
    """Measure, print, keep."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(unknown)}; choose from {', '.join(SECTIONS)}")
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sections or SECTIONS:
            print(name)
            record[name] = {
                "rounds": options.rounds,
                "load": round(os.getloadavg()[0], 2),
                "machine": machine.describe(),
                "rows": SECTIONS[name](Path(folder), options.rounds),
            }
            RESULT.parent.mkdir(exist_ok=True)
            RESULT.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
