"""The native engine's own questions, beyond what `imagen-fast bench` asks by itself.

    python benchmarks/native.py [--seconds N] [SECTION ...]

prints a line a row and keeps the records in benchmarks/results/native.json. Sections, all of them
if none is named: `threads` (1 to all cores at 64² and 256²), `iso` (one level of 64 channels, 8
times a convolution and an attention, random weights: what attention costs a runtime), `avx2`
(everyone restricted to it), `sizes` (what a pixel costs in a picture of any size, tiles and all)
and `call` (a call on one pixel: mostly not the kernels).
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from imagen_fast import catalogue, load
from imagen_fast.backends.native import Native
from imagen_fast.bench import session
from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.entrants import Options
from imagen_fast.bench.machine import describe
from imagen_fast.bench.observer import Observer
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.record import Row, where
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.cores import cores
from imagen_fast.spec import Level, ModelSpec

RESULT = Path(__file__).parent / "results" / "native.json"
MODEL = catalogue.resolve("sr-x4-tiny")
ISO = ModelSpec(scale=4, levels=(Level(64, depth=4, convs=1),))
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
RUNTIMES = ("native", "openvino", "onnxruntime", "torch")


class Lines(Observer):
    """A line on stdout for every row."""

    def measured(self, row: Row) -> None:
        start = f"  {row.name:36}{where(row.place):>9}  {row.threads} threads {row.isa:12}"
        if row.outcome != "timed":
            print(f"{start}{row.outcome}: {row.why}", flush=True)
            return
        accuracy = "equal" if row.psnr is None else f"{row.psnr:.0f} dB"
        print(f"{start}{row.summary.p50:9.1f} ms{row.cpu_ms:9.1f} cpu  {accuracy}", flush=True)


def compare(
    contestants: list[Contestant], sizes: tuple[int, ...], seconds: float
) -> dict[str, Any]:
    """The contestants, all of one model, checked and timed in turns."""
    first = contestants[0]
    options = Options(first.network, first.name, 4, cores(), device="cpu", peers=())
    record = session.run(
        options,
        sizes=sizes,
        batches=(1,),
        seconds=seconds,
        observer=Lines(),
        contestants=contestants,
    )
    return record.to_json()


def threads(folder: Path, seconds: float) -> dict[str, Any]:
    found = [
        Contestant("native", str(MODEL), MODEL.stem, precision, count)
        for count in range(1, cores() + 1)
        for precision in ("fp32", "bf16")
    ]
    return compare(found, (64, 256), seconds)


def iso(folder: Path, seconds: float) -> dict[str, Any]:
    import torch

    from imagen_fast.models.generator import Generator

    torch.manual_seed(0)
    path = folder / "iso.safetensors"
    tensors = {name: value.numpy() for name, value in Generator(ISO).state_dict().items()}
    save_bundle(Bundle(ISO, tensors, {"name": "iso"}), path)
    found = [
        Contestant(runtime, str(path), "iso", precision, cores())
        for runtime in RUNTIMES
        for precision in ("fp32", "bf16")
        if (runtime, precision) != ("onnxruntime", "bf16")
    ]
    return compare(found, (256,), seconds)


def avx2(folder: Path, seconds: float) -> dict[str, Any]:
    """In fp32: no runtime has bf16 there. ONNX Runtime has no switch for it."""
    found = [
        Contestant(runtime, str(MODEL), MODEL.stem, "fp32", cores(), isa=isa, environment=AVX2)
        for runtime, isa in (("native", "avx2"), ("openvino", ""), ("torch", ""))
    ]
    return compare(found, (256,), seconds)


def sizes(folder: Path, seconds: float) -> dict[str, Any]:
    """What a pixel costs in a picture of any size, tiles and all."""
    rows = []
    with load("sr-x4-tiny", backend="native") as engine:
        for side in (64, 128, 256, 512, 1024, 2048, 4096):
            image = (pictures(1, min(side, 1024))[0] * 255).round().astype(np.uint8)
            image = np.tile(image, (max(1, side // 1024), max(1, side // 1024), 1))
            engine(image)
            taken = []
            for _ in range(max(3, min(99, 2**22 // side**2))):
                start = time.perf_counter()
                engine(image)
                taken.append((time.perf_counter() - start) / side**2 * 1e9)
            rows.append({"side": side, "ns_per_pixel": [round(x, 1) for x in taken]})
            print(f"  {side:5}²{statistics.median(taken):9.0f} ns a pixel", flush=True)
    return {"machine": describe(), "rows": rows}


def call(folder: Path, seconds: float) -> dict[str, Any]:
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
    return {"machine": describe(), "rows": [{"call_us": median}]}


SECTIONS: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    "threads": threads,
    "iso": iso,
    "avx2": avx2,
    "sizes": sizes,
    "call": call,
}


def main() -> None:
    """Measure, print, keep."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--seconds", type=float, default=60, help="of a section")
    options = parser.parse_args()
    if unknown := set(options.sections) - SECTIONS.keys():
        parser.error(f"no section {', '.join(unknown)}; choose from {', '.join(SECTIONS)}")
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    record = {name: kept for name, kept in record.items() if name in SECTIONS}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sections or SECTIONS:
            print(name)
            record[name] = SECTIONS[name](Path(folder), options.seconds)
            RESULT.parent.mkdir(exist_ok=True)
            RESULT.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
