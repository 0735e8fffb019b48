"""A whole run: everyone gets ready, is checked, and is timed in turns, until the time is over."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from imagen_fast.bench import gpu, machine, roofline
from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.entrants import Options, check_names, entrants
from imagen_fast.bench.inputs import Inputs
from imagen_fast.bench.observer import Observer
from imagen_fast.bench.record import Place, Record
from imagen_fast.bench.reference import Reference
from imagen_fast.bench.schedule import Clock, places
from imagen_fast.bench.stage import Stage
from imagen_fast.bundle import read_header

# However short the box of time is, the first things that are asked of a machine may take this long.
PATIENCE = 60.0
LIMIT_S = 0.3  # seconds for each of the machine's limits, less if there is little time


def run(
    options: Options,
    *,
    sizes: tuple[int, ...] = (),
    batches: tuple[int, ...] = (),
    seconds: float,
    command: str = "",
    observer: Observer | None = None,
    contestants: list[Contestant] | None = None,
) -> Record:
    """Measure, within about so many seconds.

    `contestants` are taken in place of those that `options` ask for.

    Raises:
        BenchmarkError: something that was asked for by name is unknown or missing, or the machine's
            limits cannot be measured.
    """
    check_names(options)
    observer, clock = observer or Observer(), Clock(seconds)
    if options.device == "auto":
        options = replace(options, device="cuda" if gpu.names() else "cpu")
    loads = [machine.load()]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="imagen-fast-bench-")))
        observer.doing("the machine's own limits")
        limits = roofline.measure(
            options.threads, options.device, min(LIMIT_S, seconds / 300), PATIENCE
        )
        observer.doing("what is installed")
        reference = stack.enter_context(Reference(options.threads))
        works = reference.backends(PATIENCE)
        found, missing = entrants(options, works)
        record = Record(
            model=options.name,
            command=command,
            machine=machine.describe(),
            roofline=limits,
            settings={
                **{"threads": options.threads, "device": options.device, "seconds": seconds},
                **{"scale": options.scale, "set5": _set5(options.model)},
            },
            missing=missing,
        )
        inputs = Inputs(folder, reference, options.threads)
        stage = stack.enter_context(Stage(record, inputs, clock, observer))
        _all_places(stage, contestants or found, places(sizes, batches), clock)
    record.load = [*loads, machine.load()]
    record.seconds = round(seconds - clock.left, 1)
    return record


def _all_places(
    stage: Stage, contestants: list[Contestant], wanted: Mapping[Place, float], clock: Clock
) -> None:
    """Each place has its share of what is then left."""
    weights = dict(wanted)
    for place in wanted:
        until = clock.part(weights[place], math.fsum(weights.values()))
        del weights[place]
        stage.measure(contestants, place, until)


def _set5(model: str) -> float | None:
    """PSNR in dB that the bundle says it has on Set5, if it does."""
    training = json.loads(read_header(model).metadata.get("training", "{}"))
    return round(training["psnr"], 2) if training.get("validation") == "set5" else None
