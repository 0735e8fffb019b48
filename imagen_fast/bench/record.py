"""What a run of the bench leaves: rows of times with all that is needed to believe them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from imagen_fast.bench.roofline import Roofline
from imagen_fast.bench.runtimes import OURS, YARDSTICK
from imagen_fast.bench.summary import Summary

FORMAT = "imagen-fast-bench-1"
Key = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass
class Row:
    """One contestant at one size and batch.

    Attributes:
        isa, asked_isa: instruction set that ran, and the one that was asked for ("" for none).
        outcome: `wrong` has no times, because something else was computed.
        why: it failed, or how wrong it is.
        psnr: in dB to the answer of `reference`; None if they are equal or there was none.
        samples_ms: every run that counted.
        cpu_ms: median of the processor's time in all threads.
        cold_s: from the start of the process to the first picture; only in a process's first row.
        joules: for one picture, with what the machine takes when idle.
        gflop, megabytes: what one picture costs by arithmetic; see `work`.
    """

    network: str
    runtime: str
    precision: str
    size: int
    batch: int
    threads: int
    device: str = "cpu"
    asked_isa: str = ""
    isa: str = ""
    scale: int = 1
    outcome: Literal["timed", "wrong", "failed"] = "failed"
    why: str = ""
    psnr: float | None = None
    reference: str = ""
    samples_ms: list[float] = field(default_factory=list)
    cpu_ms: float | None = None
    import_s: float | None = None
    build_s: float | None = None
    first_s: float | None = None
    cold_s: float | None = None
    peak_bytes: int | None = None
    device_bytes: int | None = None
    joules: float | None = None
    gflop: float | None = None
    megabytes: float | None = None

    @property
    def key(self) -> Key:
        """What it shares with the row of another run that it may be compared with."""
        return (
            *(self.network, self.runtime, self.precision, self.size, self.batch),
            *(self.threads, self.device, self.asked_isa),
        )

    @property
    def place(self) -> Place:
        """Size and batch."""
        return self.size, self.batch

    @property
    def name(self) -> str:
        """`sr-x4-tiny, native fp32`."""
        contestant = f"{self.runtime} {self.precision}"
        return f"{self.network}, {contestant}" if self.network else self.runtime

    @property
    def summary(self) -> Summary:
        """Of a timed row."""
        return Summary.of(self.samples_ms)

    @property
    def pictures_per_s(self) -> float:
        """Throughput of a timed row, over all its runs."""
        return self.batch * 1e3 / self.summary.mean

    @property
    def megapixels_per_s(self) -> float:
        """The same in millions of pixels of the enlarged picture."""
        return self.pictures_per_s * (self.size * self.scale) ** 2 / 1e6

    @property
    def gflops(self) -> float | None:
        """GFLOP/s at the median, of a timed row."""
        return self.gflop and self.gflop * self.batch * 1e3 / self.summary.p50


@dataclass
class LeftOut:
    """A contestant that was not measured at a size and batch, and why."""

    network: str
    runtime: str
    precision: str
    size: int
    batch: int
    why: str


@dataclass
class Record:
    """A whole run. `load` is the machine's before and after it, `rows` include the yardstick's."""

    model: str
    command: str
    machine: dict[str, Any]
    roofline: Roofline
    settings: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    load: list[float | None] = field(default_factory=list)
    seconds: float = 0.0

    def left_out_at(self) -> dict[str, list[str]]:
        """Size → who was left out there, precisions together; who was everywhere, said once."""
        here = {(row.network, row.runtime, row.precision) for row in self.contestants}
        found: dict[str, dict[str, list[str]]] = {}
        for out in self.left_out:
            took_part = (out.network, out.runtime, out.precision) in here
            place = where((out.size, out.batch)) if took_part else "everywhere"
            name = out.runtime if out.network == self.model else f"{out.network} on {out.runtime}"
            precisions = found.setdefault(place, {}).setdefault(name, [])
            if out.precision not in precisions:
                precisions.append(out.precision)
        order = sorted(found, key=lambda place: place != "everywhere")
        return {
            place: [f"{name} {'+'.join(found[place][name])}" for name in found[place]]
            for place in order
        }

    @property
    def contestants(self) -> list[Row]:
        """All rows but the yardstick's."""
        return [row for row in self.rows if row.runtime != YARDSTICK.name]

    @property
    def places(self) -> list[Place]:
        """Sizes and batches with a row, ordered."""
        return sorted({row.place for row in self.contestants}, key=lambda p: (p[1] > 1, p))

    def at(self, place: Place) -> list[Row]:
        """The contestants of a size and batch: the fastest first, then those without a time."""
        rows = [row for row in self.contestants if row.place == place]
        slow = float("inf")
        return sorted(rows, key=lambda r: r.summary.p50 if r.outcome == "timed" else slow)

    def yardstick(self, place: Place) -> Row | None:
        """The yardstick's row beside the contestants of a size and batch."""
        found = (r for r in self.rows if r.runtime == YARDSTICK.name and r.place == place)
        return next(found, None)

    @property
    def ours(self) -> str:
        """The backend of this project that others are measured by: native, else the fastest."""
        timed = [row for row in self.contestants if row.runtime in OURS and row.samples_ms]
        if not timed or any(row.runtime == "native" for row in timed):
            return "native"
        return min(timed, key=lambda row: row.summary.p50 / row.size**2).runtime

    def baseline(self, row: Row) -> Row | None:
        """The row of `ours` that a timed row is measured by: of its precision, else the fastest."""
        ours = [r for r in self.at(row.place) if r.runtime == self.ours and r.outcome == "timed"]
        same = [r for r in ours if r.precision == row.precision]
        return next(iter(same + ours), None)

    def attainable(self, row: Row) -> float | None:
        """GFLOP/s that the machine could reach on a row's picture; None if nobody knows."""
        if not row.gflop:
            return None
        intensity = row.gflop * 1e3 / row.megabytes if row.megabytes else float("inf")
        return self.roofline.attainable(row.precision, intensity)

    def of_roofline(self, row: Row) -> float | None:
        """Which part of it a timed row reaches."""
        limit = self.attainable(row)
        return row.gflops / limit if limit and row.gflops else None

    def to_json(self) -> dict[str, Any]:
        """As JSON types, the derived figures beside the raw ones for other readers."""
        data = {"format": FORMAT, **dataclasses.asdict(self)}
        for row, plain in zip(self.rows, data["rows"], strict=True):
            if row.outcome == "timed":
                summary = row.summary
                plain["derived"] = {
                    **{f"{name}_ms": round(getattr(summary, name), 4) for name in PERCENTILES},
                    "spread": round(summary.spread, 4),
                    "pictures_per_s": round(row.pictures_per_s, 4),
                    "megapixels_per_s": round(row.megapixels_per_s, 4),
                    "of_roofline": _rounded(self.of_roofline(row)),
                }
        return data


def where(place: Place) -> str:
    """`256²`, or `256² × 8` for a batch."""
    size, batch = place
    return f"{size}² × {batch}" if batch > 1 else f"{size}²"


PERCENTILES = ("p25", "p50", "p90", "p99")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
