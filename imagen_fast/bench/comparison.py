"""Two runs beside each other, row by row, as ratios.

Rows are compared if they agree in network, runtime, precision, size, batch, threads, device and
in the instruction set that was asked for. Each gets two ratios, new / old: `raw`, of its medians;
and `calibrated`, which is divided by what became of those beside it that have not changed: the
yardstick, and other runtimes in the same version. The median of their ratios says how much slower
the machine is this time, be it another one or busy; the same processor is never taken for faster
than it was, since that would accuse who ran while others rested. A row counts as slower only if
its median says so, its fastest quarter says so too, and three quarters of its runs are slower than
half of the old ones: what someone else's load does to a run shows in one of these alone.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from imagen_fast.bench.record import Place, Record, Row, where
from imagen_fast.bench.runtimes import OURS, find
from imagen_fast.errors import BenchmarkError


@dataclass(frozen=True)
class Ratio:
    """A row of both runs: times new / old. Above 1 it is slower now.

    Attributes:
        raw: of the medians.
        machine: how many times slower the machine is now at this size, for medians and for
            fastest quarters.
    """

    row: Row
    before: Row
    raw: float
    machine: tuple[float, float]

    @property
    def calibrated(self) -> float:
        """Of the medians, on a machine that is as fast as it was."""
        return self.raw / self.machine[0]

    @property
    def slower(self) -> float:
        """What counts: per cent by which the row is slower now; 0 if that is not sure."""
        now, then = self.row.summary, self.before.summary
        fastest = now.p25 / then.p25 / self.machine[1]
        if now.p25 / self.machine[0] <= then.p50:
            return 0.0
        return max(0.0, 100 * (min(self.calibrated, fastest) - 1))


@dataclass
class Comparison:
    """All rows in common, those that had a time and lost it, and those not measured now."""

    ratios: list[Ratio] = field(default_factory=list)
    lost: list[Row] = field(default_factory=list)
    absent: list[Row] = field(default_factory=list)
    other_machine: bool = False

    def failures(self, per_cent: float) -> list[str]:
        """Why this run is worse than the old one by more than so many per cent; empty if not.

        This project's own backends decide; the others are shown alone.
        """
        found = [
            f"{r.row.name}, {where(r.row.place)}: {r.slower:.0f} % slower{_changed(r)}"
            for r in self.ratios
            if r.row.runtime in OURS and r.slower > per_cent
        ]
        return found + [
            f"{r.name}, {where(r.place)}: {r.outcome}, {r.why}"
            for r in self.lost
            if r.runtime in OURS
        ]


def compare(new: Record, old: Record) -> Comparison:
    """Raises BenchmarkError if the runs have no row in common."""
    result = Comparison(other_machine=new.machine.get("cpu") != old.machine.get("cpu"))
    now = {row.key: row for row in new.contestants}
    for before in old.contestants:
        row = now.get(before.key)
        if before.outcome != "timed":
            continue
        if row is None:
            result.absent.append(before)
        elif row.outcome != "timed":
            result.lost.append(row)
        else:
            raw = row.summary.p50 / before.summary.p50
            result.ratios.append(Ratio(row, before, raw, _machine(new, old, row.place)))
    if not result.ratios and not result.lost:
        raise BenchmarkError(
            "the two runs have no row in common; measure the same model, sizes, batches, "
            "precisions and threads"
        )
    return result


def _machine(new: Record, old: Record, place: Place) -> tuple[float, float]:
    """How many times slower what has not changed is now, at a size; 1 if nothing was measured."""
    then = {row.key: row for row in old.rows if row.place == place and row.samples_ms}
    medians, fastest = [1.0], [1.0]
    for row in new.rows:
        before = then.get(row.key)
        if row.samples_ms and before and _unchanged(row.runtime, new, old):
            medians.append(row.summary.p50 / before.summary.p50)
            fastest.append(row.summary.p25 / before.summary.p25)
    found = [statistics.median(ratios[1:] or ratios) for ratios in (medians, fastest)]
    if new.machine["cpu"] == old.machine["cpu"]:  # a busy machine excuses, an idle one accuses not
        found = [max(1.0, ratio) for ratio in found]
    return found[0], found[1]


def _unchanged(runtime: str, new: Record, old: Record) -> bool:
    """Whether a runtime is none of ours, and of the same version in both runs."""
    if runtime in OURS:
        return False
    library = find(runtime).library
    known: list[str | None] = [record.machine["versions"].get(library) for record in (new, old)]
    return known[0] == known[1]


def _changed(ratio: Ratio) -> str:
    """What else is new, if it is."""
    old, new = ratio.before.isa, ratio.row.isa
    return f" ({old} before, {new} now)" if old != new else ""
