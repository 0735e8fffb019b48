"""Short runs of the bench, and rows made by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagen_fast.bench import session, stage
from imagen_fast.bench.contestant import Contestant
from imagen_fast.bench.entrants import Options
from imagen_fast.bench.record import Record, Row
from imagen_fast.bench.roofline import Roofline


@pytest.fixture
def options(tiny_path: Path) -> Options:
    """One thread, no peers, the native engine."""
    return Options(
        *(str(tiny_path), tiny_path.stem, 2, 1),
        backends=("native",),
        peers=(),
        precisions=("fp32",),
    )


@pytest.fixture
def native(tiny_path: Path) -> Contestant:
    """The native engine on the tiny network."""
    return Contestant("native", str(tiny_path), tiny_path.stem, "fp32", 1)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short turns, so that a box of time with room for a slow start is not filled with runs."""
    monkeypatch.setattr(stage, "LONGEST", 0.1)


@pytest.fixture
def short(options: Options, brisk: None) -> Callable[..., Record]:
    """A run of a few seconds with these contestants, one picture of 16²."""

    def run(*contestants: Contestant, seconds: float = 40) -> Record:
        return session.run(
            options, sizes=(16,), batches=(1,), seconds=seconds, contestants=list(contestants)
        )

    return run


@pytest.fixture
def record_of() -> Callable[..., Record]:
    """A record with these rows, and a yardstick of 10 ms at each of their sizes."""

    def make(*rows: Row, yardstick: float = 10.0, cpu: str = "a processor") -> Record:
        machine = {
            **{"cpu": cpu, "family_model": "1/2", "cores": 2, "isa": ["avx2"], "gpus": []},
            **{"system": "Linux", "python": "3.12", "versions": {"numpy": "2"}},
            **{"commit": "abc", "date": "2026-01-02 03:04"},
        }
        roof = Roofline({"fp32": 100.0, "bf16": 400.0}, {"fp32": "NumPy", "bf16": "native"}, 20.0)
        settings = {"threads": 2, "device": "cpu", "seconds": 9, "scale": 4, "set5": 31.3}
        made = Record("sr-x4-tiny", "imagen-fast bench", machine, roof, settings, load=[0.1, 0.2])
        made.rows = list(rows)
        for size, batch in sorted({row.place for row in rows}):
            samples = [0.9 * yardstick, yardstick, 1.1 * yardstick, 1.2 * yardstick]
            stick = Row("", "yardstick", "fp32", size, batch, 2, outcome="timed")
            stick.samples_ms = samples
            made.rows.append(stick)
        return made

    return make


@pytest.fixture
def row() -> Callable[..., Row]:
    """A native row with these times in ms."""

    def make(*samples: float, **changes: object) -> Row:
        made = Row("sr-x4-tiny", "native", "fp32", 256, 1, 2, scale=4, outcome="timed")
        made.samples_ms = list(samples)
        made.gflop, made.megabytes, made.psnr, made.reference = 47.0, 400.0, 146.0, "PyTorch fp32"
        for name, value in changes.items():
            setattr(made, name, value)
        return made

    return make
