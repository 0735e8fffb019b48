"""One size and batch: who has time to take part gets ready, is checked, and runs in turns."""

from __future__ import annotations

import math
import random
import statistics
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imagen_fast.backends import memory
from imagen_fast.bench.contestant import Contestant, Worker
from imagen_fast.bench.inputs import Answer, Inputs
from imagen_fast.bench.observer import Observer
from imagen_fast.bench.record import LeftOut, Place, Record, Row, where
from imagen_fast.bench.roofline import WIDTHS
from imagen_fast.bench.runtimes import YARDSTICK, find
from imagen_fast.bench.runtimes.yardstick import environment
from imagen_fast.bench.schedule import BETWEEN, LEAST_ROUNDS, Clock, Costs
from imagen_fast.errors import BenchmarkError
from imagen_fast.metrics import psnr

# Below it, in dB to the answer in fp32, something else is being computed.
WORST_PSNR = {"fp32": 80.0, "bf16": 40.0, "fp16": 50.0}
ROUNDS, MOST_ROUNDS = 8, 12  # that are aimed at, and after which time goes to other sizes
SHORTEST, LONGEST = 0.05, 0.5  # seconds of a turn
PATIENCE = 5.0  # seconds that something may take when the time is over
GRACE = 20.0  # seconds that a turn may take longer than the one before
# Bytes that an input pixel takes, generously: natively, and where features are kept whole.
NATIVE_PIXEL, PIXEL = 2_000, 8_000


@dataclass
class Turn:
    """A contestant that is ready, how long its run takes, and what was measured so far."""

    worker: Worker
    row: Row
    run_s: float
    cpu: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)


class Stage(AbstractContextManager["Stage"]):
    """Holds the contestants' processes from place to place."""

    def __init__(self, record: Record, inputs: Inputs, clock: Clock, observer: Observer) -> None:
        self._record, self._inputs, self._clock = record, inputs, clock
        self._observer, self._costs = observer, Costs()
        self._workers: dict[str, Worker] = {}
        self._failed: set[str] = set()
        threads = record.settings["threads"]
        self._yardstick = Contestant(
            *(YARDSTICK.name, "", "", "fp32", threads), environment=environment(threads)
        )

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def measure(self, contestants: list[Contestant], place: Place, until: float) -> None:
        """Add a row for everyone who has time at this size and batch, before about `until`."""
        size, batch = place
        answers: dict[str, Answer] = {}
        turns: list[Turn] = []
        for c in [self._yardstick, *contestants]:
            if str(c) in self._failed or (batch == 1 and find(c.runtime).several):
                continue
            row = Row(c.name, c.runtime, c.precision, size, batch, c.threads, c.device, c.isa)
            promised = math.fsum(self._costs.of_rounds(turn.run_s) for turn in turns)
            if why := self._no_room(c, place, until - promised, c.network in answers):
                self._leave_out(row, why)
                continue
            self._observer.doing(f"{row.name}, {where(place)}: getting ready")
            try:
                turn = self._ready(c, row, answers)
            except BenchmarkError as error:
                row.why = str(error)
                self._drop(c)
                self._settle(row)
                continue
            if turn is None:
                self._settle(row)
            elif LEAST_ROUNDS * turn.run_s > max(until - time.monotonic(), PATIENCE):
                self._leave_out(row, f"one run takes {turn.run_s:.1f} s")
            else:
                turns.append(turn)
        self._in_turns(turns, place, until)
        self._inputs.forget(size, batch)

    def _no_room(self, c: Contestant, place: Place, until: float, known: bool) -> str | None:
        """Why a contestant cannot take part here; None if it can.

        `known` says whether its network's answer is there already.
        """
        size, batch = place
        pixels = size**2 * batch
        if c is self._yardstick:
            return None
        if why := self._inputs.unknowable(c, size, batch):
            return why
        left = until - time.monotonic()
        run_s = self._costs.run(c, pixels)
        cost = self._costs.to_start(c, pixels) + self._costs.of_rounds(run_s)
        cost += 0 if known else 2 * run_s
        if not self._inputs.has_file(c, size, batch):
            cost += self._costs.file(pixels)
        if cost > left:
            return f"takes about {cost:.0f} s; {max(left, 0):.0f} s were left"
        need, free = pixels * (NATIVE_PIXEL if c.runtime == "native" else PIXEL), memory.available()
        if need > free:
            return f"may need {need / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free"
        return None

    def _ready(self, c: Contestant, row: Row, answers: dict[str, Answer]) -> Turn | None:
        """Prepared, checked, and run once more to see how long it takes; None if it is wrong."""
        size, batch = row.place
        limit = max(self._clock.left, 0) + PATIENCE
        images, file = self._inputs.images(size, batch), ""
        if c is not self._yardstick:
            file = self._inputs.file(c, size, batch, limit)
            if c.network not in answers:
                answers[c.network] = self._inputs.answer(c, size, batch, limit)
        first = str(c) not in self._workers
        if first:
            self._workers[str(c)] = Worker(c)
        worker = self._workers[str(c)]
        ready = worker.prepare(images, file, limit)
        row.import_s, row.build_s, row.first_s = ready.import_s, ready.build_s, ready.first_s
        row.cold_s = ready.cold_s if first else None
        row.isa = ready.isa
        if c is not self._yardstick:
            truth, row.reference = answers[c.network]
            row.scale = truth.shape[1] // size
            row.gflop, row.megabytes = self._inputs.work(c, size, WIDTHS[c.precision])
            if not right(row, ready.output, truth):
                return None
            self._inputs.trusted |= (c.runtime, c.precision, c.tree) == ("native", "fp32", "")
        run_s = worker.burst(0.0, limit)["wall"][0]
        setup = (ready.cold_s if first else ready.build_s + ready.first_s) - run_s
        self._costs.learn(c, size**2 * batch, max(0.0, setup), run_s)
        return Turn(worker, row, run_s)

    def _in_turns(self, turns: list[Turn], place: Place, until: float) -> None:
        """Everyone runs for a moment, again and again, in another order every time."""
        shuffled, generator = list(turns), random.Random(0)
        pace = (until - time.monotonic()) / (ROUNDS * max(1, len(turns))) - BETWEEN
        seconds = min(max(pace, SHORTEST), LONGEST)
        round_s = math.fsum(max(seconds, turn.run_s) + BETWEEN for turn in turns)
        done = 0
        while len(turns) > 1 and done < MOST_ROUNDS:
            if done >= LEAST_ROUNDS and time.monotonic() + round_s > until:
                break
            done += 1
            self._observer.doing(f"{where(place)}: {len(turns) - 1} in turns, round {done}")
            generator.shuffle(shuffled)
            for turn in shuffled:
                if not turn.row.why:
                    self._burst(turn, seconds)
        for turn in turns:
            if turn.row.why or turn.row.samples_ms:
                self._settle(turn.row)

    def _burst(self, turn: Turn, seconds: float) -> None:
        row = turn.row
        try:
            result = turn.worker.burst(seconds, turn.run_s + seconds + GRACE)
        except BenchmarkError as error:
            row.why, row.outcome, row.samples_ms = str(error), "failed", []
            return
        row.outcome = "timed"
        row.samples_ms += [round(s * 1e3, 4) for s in result["wall"]]
        turn.cpu += result["cpu"]
        row.cpu_ms = round(statistics.median(turn.cpu) * 1e3, 4)
        row.peak_bytes, row.device_bytes = result["peak"], result["device_peak"]
        if result["joules"] is not None:
            turn.joules.append(result["joules"] / len(result["wall"]) / row.batch)
            row.joules = statistics.median(turn.joules)

    def _settle(self, row: Row) -> None:
        self._record.rows.append(row)
        if row.runtime != YARDSTICK.name:
            self._observer.measured(row)

    def _leave_out(self, row: Row, why: str) -> None:
        out = LeftOut(row.network, row.runtime, row.precision, row.size, row.batch, why)
        self._record.left_out.append(out)
        self._observer.left_out(out)

    def _drop(self, c: Contestant) -> None:
        """End a contestant that failed: it has no other turn."""
        self._failed.add(str(c))
        if worker := self._workers.pop(str(c), None):
            worker.close()


def right(row: Row, output: NDArray[np.float32], truth: NDArray[np.float32]) -> bool:
    """Whether this is the network's picture, up to the precision's rounding. Says so in the row."""
    worst = WORST_PSNR[row.precision]
    if output.shape != truth.shape:
        row.outcome, row.why = "wrong", f"gives {output.shape}; expected {truth.shape}"
        return False
    found = psnr(output, truth)
    row.psnr = round(found, 2) if math.isfinite(found) else None
    if found < worst:
        seen = f"{found:.1f} dB" if math.isfinite(found) else "not finite"
        row.outcome = "wrong"
        row.why = f"{seen} to {row.reference}; expected {worst:.0f} dB or more"
        return False
    return True
