"""A whole run: everyone gets ready, is checked, and is timed in turns, until the time is over."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from imagen_fast import atomic
from imagen_fast.backends import backend_class, memory
from imagen_fast.bench import gpu, machine
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.record import Record, Row, record
from imagen_fast.bench.runtimes import OURS, PEERS, Contestant, Images, find
from imagen_fast.bench.timing import Burst, Summary, in_turns
from imagen_fast.bench.worker import Worker
from imagen_fast.bundle import load_bundle, read_header
from imagen_fast.errors import BenchmarkError
from imagen_fast.graph.cost import flops

PRECISIONS = ("fp32", "bf16", "fp16")
SIZES = (256, 64, 1024)
PATIENCE = 10.0  # seconds that whoever is the first at a size may take, however little is left
READY = 0.6  # of a size's time, after which nobody else gets ready
REFERENCE_PIXELS = 256**2  # up to which PyTorch in fp32 is waited for: some seconds
REFERENCE_S = 120.0  # which it may take
ROUNDS = 12  # after which time goes to other sizes
# Bytes that an input pixel takes, generously: natively, and where features are kept whole.
NATIVE_PIXEL, PIXEL = 2_000, 8_000
Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchOptions:
    """What is to be measured.

    Attributes:
        model: the bundle's path.
        param: of the network that it was imported from, where that is ncnn's.
        backends, peers: names; None for all that work here.
        precisions: None for fp32 and bf16, the one that `auto` takes first.
        device: cpu, cuda, or auto for a GPU if there is one.
        sizes, batches: sides of the square inputs, and how many at once.
        seconds: that all may take, about.
    """

    model: Path
    threads: int
    seconds: float
    device: str = "auto"
    backends: tuple[str, ...] | None = None
    peers: tuple[str, ...] | None = None
    precisions: tuple[str, ...] | None = None
    sizes: tuple[int, ...] = SIZES
    batches: tuple[int, ...] = (1,)
    param: Path | None = None

    def check(self) -> None:
        """Raises BenchmarkError for a name that is nobody's, or that cannot run here."""
        for kind, given, known in (
            ("backend", self.backends, OURS),
            ("peer", self.peers, tuple(PEERS)),
            ("precision", self.precisions, PRECISIONS),
        ):
            for name in given or ():
                if name not in known:
                    raise BenchmarkError(f"no {kind} {name!r}; choose from {', '.join(known)}")
                if kind != "precision" and (why := find(name).missing()):
                    raise BenchmarkError(f"{name} cannot run here: {why}")


def contestants(options: BenchOptions) -> tuple[list[Contestant], dict[str, str]]:
    """The most interesting first, and what is missing for the others."""
    ours = options.backends or tuple(name for name in OURS if name != "fake")
    peers = tuple(PEERS) if options.peers is None else options.peers
    wanted = options.precisions or _precisions(options.device)
    found, missing = [], {}
    # PyTorch, which takes the longest to get ready, after the others.
    for name in sorted((*ours, *peers), key=("eager", "compiled").__contains__):
        runtime = find(name)
        fitting = [precision for precision in wanted if precision in runtime.precisions]
        readable = runtime.reads != "param" or options.param
        if options.device not in runtime.kinds or not fitting or not readable:
            if name in (*(options.backends or ()), *(options.peers or ())):
                kinds, precisions = (" or ".join(x) for x in (runtime.kinds, runtime.precisions))
                files = "" if readable else ", networks from .param files"
                missing[name] = f"it computes in {precisions}, on {kinds}{files}"
            continue
        if why := runtime.missing():
            missing[name] = why
            continue
        found += [Contestant(name, p, options.threads, options.device) for p in fitting]
    return found, missing


def _precisions(device: str) -> tuple[str, ...]:
    if device != "cpu" or backend_class("native").missing():
        return ("bf16", "fp32") if device != "cpu" else ("fp32", "bf16")
    from imagen_fast._native import preferred_precision

    return ("bf16", "fp32") if preferred_precision() == "bf16" else ("fp32", "bf16")


def run(
    options: BenchOptions,
    command: str = "",
    say: Say = lambda text: None,
    heed: Callable[[], object] = lambda: None,
) -> Record:
    """Measure. `say` is told what goes on; `heed` is called several times a second, and may raise.

    Raises:
        BenchmarkError: something that was asked for by name is unknown or missing, or all of it
            is for other precisions or devices.
    """
    if options.device == "auto":
        options = replace(options, device="cuda" if gpu.names() else "cpu")
    options.check()
    found, missing = contestants(options)
    if not found:
        why = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        raise BenchmarkError(f"there is nothing to measure ({why or 'no backend, no peer'})")
    load, start = machine.load(), time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(atomic.scratch())
        contest = stack.enter_context(Contest(options, folder, say, heed))
        places = [(size, batch) for batch in options.batches for size in options.sizes]
        for index, place in enumerate(places):
            now = time.monotonic()
            # The first size, at which everyone starts, gets twice the time of another.
            share = (1 if index else 2) / (len(places) - index + (0 if index else 1))
            contest.measure(found, *place, now + max(0.0, start + options.seconds - now) * share)
    return record(
        command,
        contest.rows,
        (load, machine.load()),
        model=options.model.stem,
        settings={
            **{"threads": options.threads, "device": options.device},
            **{"seconds": options.seconds, "scale": read_header(options.model).graph.scale},
        },
        missing=missing,
        left_out=contest.left_out,
        seconds=round(time.monotonic() - start, 1),
    )


class Contest:
    """Holds the contestants' processes from size to size.

    Attributes:
        rows: what was measured, and who failed or was wrong.
        left_out: where and why → who had no time or memory.
    """

    def __init__(
        self,
        options: BenchOptions,
        folder: Path,
        say: Say,
        heed: Callable[[], object] = lambda: None,
    ) -> None:
        self.rows: list[Row] = []
        self.left_out: dict[str, list[str]] = {}
        self._options, self._folder, self._say, self._heed = options, folder, say, heed
        header = read_header(options.model)
        self._graph = header.graph
        self._margin = json.loads(header.metadata.get("imported", "{}")).get("margin", 0)
        self._workers: dict[Contestant, Worker] = {}
        self._failed: set[Contestant] = set()
        self._seen: set[Worker] = set()  # of which a row has said how long they took to start

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def measure(self, found: Sequence[Contestant], size: int, batch: int, until: float) -> None:
        """Add a row for everyone who has time at this size and batch, before about `until`."""
        images, place = pictures(batch, size), where(size, batch)
        try:
            truth = self._truth(images)
        except BenchmarkError as error:
            self.left_out[f"{place}, the answer is not known: {error}"] = ["everybody"]
            return
        start = time.monotonic()
        ready: list[tuple[Row, Worker]] = []
        rows: list[Row] = []
        for c in (c for c in found if c not in self._failed):
            name = f"{c.runtime} {c.precision}, {place}"
            late = rows and time.monotonic() > start + READY * (until - start)
            if why := "no time was left" if late else no_room(c, size**2 * batch):
                self.left_out.setdefault(f"{place}, {why}", []).append(f"{c.runtime} {c.precision}")
                continue
            self._say(f"{name}: getting ready")
            row: Row = {"network": self._options.model.stem, **vars(c), "size": size}
            rows.append(row | {"batch": batch, "ours": c.runtime == "native"})
            try:
                limit = max(until - time.monotonic(), PATIENCE)
                worker = self._prepared(c, rows[-1], images, truth, limit)
            except BenchmarkError as error:
                rows[-1]["why"] = str(error)
                self._failed.add(c)
                continue
            if "why" not in rows[-1]:
                ready.append((rows[-1], worker))
        self._say(f"{place}: {len(ready)} in turns")
        bursts = {str(i): turn(row, worker) for i, (row, worker) in enumerate(ready)}
        samples = in_turns(bursts, until - time.monotonic(), most=ROUNDS)
        for (row, worker), times in zip(ready, samples.values(), strict=True):
            if "why" not in row:
                row["samples_ms"] = times
                row["peak_bytes"], row["device_bytes"] = worker.memory()
        self.rows += ranked(rows)

    def _prepared(
        self, c: Contestant, row: Row, images: Images, truth: tuple[Images, str], limit: float
    ) -> Worker:
        """The contestant's process, after its first answer was checked; the row says how it went.

        Raises BenchmarkError: it cannot run.
        """
        size, batch, file = row["size"], row["batch"], self._file(c, row["size"], row["batch"])
        worker = self._worker(c)
        if find(c.runtime).reads == "param":  # without the border that imported graphs put around
            images = np.pad(images, [(0, 0), *2 * [(self._margin,) * 2], (0, 0)], "edge")
        answer = worker.prepare(images, file, limit)
        row["isa"] = answer.isa
        if worker not in self._seen:
            row["start_s"] = round(answer.seconds, 3)
            self._seen.add(worker)
        row["megapixels"] = answer.output[..., 0].size / 1e6
        row["gflop"] = round(batch * flops(self._graph, size, size) / 1e9, 3)
        row["psnr"], wrong = check(answer.output, truth[0], c.precision)
        row["reference"] = truth[1]
        if wrong:
            row["why"] = f"wrong: {wrong}"
        return worker

    def _truth(self, images: Images) -> tuple[Images, str]:
        """The network's answer in fp32, and whose it is: PyTorch's, or the native engine's where
        that is not installed, and at large sizes.
        """
        by_native = find("eager").missing() or images[..., 0].size > REFERENCE_PIXELS
        c = Contestant("native" if by_native else "eager", "fp32", self._options.threads)
        self._say(f"the answer of {c.runtime} in fp32")
        answer = self._worker(c).prepare(images, self._options.model, REFERENCE_S)
        return answer.output, f"{c.runtime} fp32"

    def _worker(self, c: Contestant) -> Worker:
        if c not in self._workers:
            self._workers[c] = Worker(c, self._heed)
        return self._workers[c]

    def _file(self, c: Contestant, size: int, batch: int) -> Path:
        """What the contestant's runtime reads."""
        options, reads = self._options, find(c.runtime).reads
        if reads == "bundle":
            return options.model
        if reads == "param" and options.param:
            return options.param
        path = self._folder / f"{size}-{batch}.onnx"
        if not path.exists():
            from imagen_fast.export import onnx
            from imagen_fast.export.options import ExportOptions as Export

            shape = (size, size) if size**2 <= onnx.MOST_PIXELS else None
            bundle = load_bundle(options.model)
            path.write_bytes(onnx.export(bundle, Export(shape=shape, batch=batch)))
        return path


def turn(row: Row, worker: Worker) -> Burst:
    """A worker's turns; one that ends or hangs has none any more, and the row says why."""

    def burst() -> list[float]:
        if "why" not in row:
            try:
                return worker.burst()
            except BenchmarkError as error:
                row["why"] = str(error)
        return []

    return burst


def no_room(c: Contestant, pixels: int) -> str:
    """Why the memory may not reach; "" if it does."""
    need = pixels * (NATIVE_PIXEL if c.runtime == "native" else PIXEL)
    free = memory.available()
    return "" if need < free else f"may need {need / 1e9:.1f} GB; {free / 1e9:.1f} GB are free"


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The fastest first, with `times`: its median as a multiple of the native engine's in the same
    precision, or of its fastest. Then those without a time.
    """
    medians = {id(row): Summary.of(row["samples_ms"]).p50 for row in rows if "samples_ms" in row}
    ordered = sorted(rows, key=lambda row: medians.get(id(row), math.inf))
    ours = [row for row in ordered if row["ours"] and id(row) in medians]
    for row in ordered if ours else ():
        if id(row) in medians:
            same = [base for base in ours if base["precision"] == row["precision"]]
            row["times"] = round(medians[id(row)] / medians[id((same + ours)[0])], 4)
    return ordered


def where(size: int, batch: int) -> str:
    """`256²`, or `256² × 8` for a batch."""
    return f"{size}² × {batch}" if batch > 1 else f"{size}²"
