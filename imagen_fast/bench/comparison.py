"""Two runs beside each other, row by row, as ratios.

Rows are compared if they agree in network, runtime, precision, size, batch, threads, device and
in the instruction set that was asked for. Each gets two ratios, new / old: `raw`, of its medians;
and `calibrated`, in which both medians are first divided by the yardstick's beside them, so that a
machine that is slower today, or another one, does not look like a slower engine. A row is slower
only if its calibrated ratio says so for the median and for the fastest quarter as well: what
someone else's load does to a run shows in one of them alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from imagen_fast.backends import BACKENDS
from imagen_fast.bench.record import Record, Row, where
from imagen_fast.errors import BenchmarkError


@dataclass(frozen=True)
class Ratio:
    """A row of both runs: times new / old. Above 1 it is slower now."""

    row: Row
    before: Row
    raw: float
    calibrated: float
    calibrated_p25: float

    @property
    def slower(self) -> float:
        """What counts: per cent by which the row is slower now, negative if it is faster."""
        return 100 * (min(self.calibrated, self.calibrated_p25) - 1)


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
            if r.row.runtime in BACKENDS and r.slower > per_cent
        ]
        return found + [
            f"{r.name}, {where(r.place)}: {r.outcome}, {r.why}"
            for r in self.lost
            if r.runtime in BACKENDS
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
            result.ratios.append(_ratio(new, row, old, before))
    if not result.ratios and not result.lost:
        raise BenchmarkError(
            "the two runs have no row in common; measure the same model, sizes, batches, "
            "precisions and threads"
        )
    return result


def _ratio(new: Record, row: Row, old: Record, before: Row) -> Ratio:
    raw = row.summary.p50 / before.summary.p50
    fast = row.summary.p25 / before.summary.p25
    here, there = new.yardstick(row.place), old.yardstick(before.place)
    if here is None or there is None or not (here.samples_ms and there.samples_ms):
        return Ratio(row, before, raw, raw, fast)
    return Ratio(
        *(row, before, raw),
        calibrated=raw * there.summary.p50 / here.summary.p50,
        calibrated_p25=fast * there.summary.p25 / here.summary.p25,
    )


def _changed(ratio: Ratio) -> str:
    """What else is new, if it is."""
    old, new = ratio.before.isa, ratio.row.isa
    return f" ({old} before, {new} now)" if old != new else ""
