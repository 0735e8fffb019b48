"""Other people's networks on this project's engine, beside the runtimes that they came from.

    python benchmarks/peers.py [FILE ...] [--isa NAME] [--threads N] [--loaded]

A FILE is an ONNX network of open size, which OpenVINO runs as well, or an ncnn network (FILE.param
beside FILE.bin), which ncnn runs. They, and this project's --model, enlarge the same 256×256
picture in turns, from floats in memory to floats in memory, in bf16 where that is much faster on
the instruction set, else in fp32. PSNR of what enlarges four times is that on Set5, below
$IMAGEN_FAST_DATA. Prints the table and keeps it, with every time, in
benchmarks/results/DEVICE/peers.json, or peers-ISA.json if --isa says another than the best.

--loaded is for a machine that does other things meanwhile: one thread, its processor time, and the
least of each. On AVX2 set ONEDNN_MAX_CPU_ISA=AVX2, which OpenVINO's kernels obey.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from imagen_fast.export import onnx
from imagen_fast.export.options import ExportOptions

import imagen_fast
from imagen_fast import _native
from imagen_fast.bench import machine, record, table
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.runtimes import PEERS, Contestant, Images, Run
from imagen_fast.bench.timing import Summary, for_a_while, in_turns
from imagen_fast.bundle import load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.cores import cores
from imagen_fast.image.picture import Picture
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import evaluate, mean
from imagen_fast.tasks.protocols import PROTOCOLS

RESULTS = Path(__file__).parent / "results"
SIDE, TURN = 256, 0.5
RUNTIMES = {".onnx": "openvino", ".param": "ncnn"}
Runner = Callable[[Images], Run]  # what runs pictures of a size


def set5(ready: Runner) -> float:
    """PSNR on Y."""

    def enlarge(picture: Picture) -> Picture:
        made = ready(picture.color[None] / np.float32(255))()[0]
        return Picture(np.ascontiguousarray(np.rint(255 * made).astype(np.uint8)))

    protocol = PROTOCOLS["set5"].at(4)
    paths = [found.source for found in in_folder(protocol.folder(None)).pictures]
    scores = [score.model for score in evaluate(paths, protocol, enlarge) if score.model]
    return round(mean(scores).psnr, 2)


def exported(model: str, folder: Path) -> str:
    """This project's, as a file for OpenVINO."""
    path = folder / f"{model}.onnx"
    path.write_bytes(onnx.export(load_bundle(resolve(model)), ExportOptions()))
    return str(path)


def contestants(path: str, given: Any, stack: ExitStack) -> Iterator[tuple[record.Row, Runner]]:
    """A file's, ours first."""
    precision = _native.preferred_precision(given.isa)
    settings = {"precision": precision, "threads": given.threads}
    engine = stack.enter_context(
        imagen_fast.load(path, backend="native", isa=given.isa, **settings)
    )
    row = {"network": Path(path).stem, "precision": precision, "scale": engine.scale}
    yield row | {"runtime": "native"}, lambda images: partial(engine.run, images)
    if runtime := RUNTIMES.get(Path(path).suffix):
        other = Contestant(runtime, **settings)
        yield (
            row | {"runtime": runtime},
            lambda images: PEERS[runtime].ready(other, images, path)[0],
        )


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--model", default="sr-x4")
    best = _native.available(_native.preferred_precision())[0]
    parser.add_argument("--isa", default=best)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--loaded", action="store_true")
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    given.threads = 1 if given.loaded else given.threads
    clock, load = time.process_time if given.loaded else time.perf_counter, machine.load()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        files = (exported(given.model, folder), *given.files)
        found = [pair for path in files for pair in contestants(path, given, stack)]
        runs = {str(i): ready(pictures(1, SIDE)) for i, (_, ready) in enumerate(found)}
        bursts = {i: for_a_while(run, TURN, clock) for i, run in runs.items()}
        samples = in_turns(bursts, given.seconds)
        rows = [row | {"size": SIDE} for row, _ in found]
        for row, taken, (_, ready) in zip(rows, samples.values(), found, strict=True):
            row["samples_ms"] = taken
            row["ms"] = min(taken) if given.loaded else Summary.of(taken).p50
            if row["runtime"] == "native":
                ours = row["ms"]
            row["times"] = round(row["ms"] / ours, 3)
            if row["scale"] == 4:
                row["set5"] = set5(ready)
    table.show(rows)
    names = [Path(path).name for path in given.files]
    command = " ".join(["python benchmarks/peers.py", *names, "--isa", given.isa])
    facts = {"threads": given.threads, "isa": given.isa, "loaded": given.loaded}
    made = record.record(command, rows, (load, machine.load()), **facts)
    name = "peers.json" if given.isa == best else f"peers-{given.isa}.json"
    record.write(made, record.place(made, RESULTS, name))


if __name__ == "__main__":
    main()
