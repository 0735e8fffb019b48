"""Records survive their file, other files are told apart, and a table shows what is known."""

import io
import json
import re

import pytest
from rich.console import Console

from imagen_fast.bench import record, table
from imagen_fast.errors import BenchmarkError

ROWS = [
    {"runtime": "native", "size": 64, "samples_ms": [1.0, 2.0, 3.0], "psnr": 60.5, "gflop": 4.0,
     "batch": 2, "megapixels": 0.5, "ours": True, "times": 1.0},
    {"runtime": "other", "size": 64, "batch": 2, "why": "wrong: 12 dB [bold]"},
]  # fmt: skip


@pytest.mark.parametrize("name", ["new/run.json", "new/run.jsonl"])
def test_a_record_comes_back_as_it_was(tmp_path, name):
    made = record.record("imagen-fast bench", ROWS, (0.5, None), model="sr-x4")
    record.write(made, tmp_path / name)
    assert record.read(tmp_path / name) == [made]
    assert {"cpu", "cores", "versions", "commit", "date"} <= made["machine"].keys()


def test_what_appeared_meanwhile_is_kept(tmp_path):
    made = record.record("", ROWS, ())
    for name in ("run.json", "runs.jsonl"):
        record.write(made, tmp_path / name)
    with pytest.raises(BenchmarkError, match="appeared while"):
        record.write(made | {"more": 1}, tmp_path / "run.json", replace=False)
    assert record.read(tmp_path / "run.json") == [made]
    later = made | {"more": 1}
    record.write(later, tmp_path / "runs.jsonl", replace=False)  # which is only added to
    assert record.read(tmp_path / "runs.jsonl") == [made, later]


def test_nothing_is_left_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BenchmarkError, match="cannot write"):
        record.write(record.record("", ROWS, ()), tmp_path / "file" / "run.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "1", json.dumps({"format": "x", "rows": ROWS}), "[" * 100_000,
     json.dumps({"format": record.FORMAT})],
    ids=range(6),
)  # fmt: skip
def test_other_files(tmp_path, text):
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=re.escape(f"{path}: not what")):
        record.read(path)
    with pytest.raises(BenchmarkError, match="cannot read: No such file"):
        record.read(tmp_path / "nothing.json")


def test_the_table():
    console = Console(record=True, width=table.WIDE, file=io.StringIO())
    table.show(ROWS, console)
    heads, _, first, second, why = console.export_text().splitlines()
    figures = "p50 ms,p90,±,n,pict/s,Mpx/s,GFLOP/s,×,dB"
    assert heads.split() == ["runtime", *figures.replace(",", " ").split()]
    assert first.split() == ["native", "2.00", "-", "100", "3", "1000", "250", "2000", "1.00", "60"]
    assert second.split() == ["other", *"-" * 9]
    assert why == "other: wrong: 12 dB [bold]"
