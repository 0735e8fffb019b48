"""Records survive their file, and damaged files say what is wrong with them."""

import json
import re

import pytest

from imagen_fast.bench.record import LeftOut
from imagen_fast.bench.record_file import read, write
from imagen_fast.errors import BenchmarkError


@pytest.fixture
def record(record_of, row):
    made = record_of(row(1.0, 2.0, 3.0), row(outcome="wrong", why="12 dB", precision="bf16"))
    made.left_out = [LeftOut("sr-x4-tiny", "torch", "fp32", 1024, 1, "takes about 90 s")]
    return made


def test_a_record_comes_back_as_it_was(record, tmp_path):
    write(record, tmp_path / "new" / "run.json")
    assert read(tmp_path / "new" / "run.json") == [record]


def test_lines_are_added(record, tmp_path):
    path = tmp_path / "runs.jsonl"
    write(record, path)
    record.seconds = 7.0
    write(record, path)
    assert [found.seconds for found in read(path)] == [0.0, 7.0]


def test_readers_of_the_json_find_the_derived_figures(record, tmp_path):
    write(record, tmp_path / "run.json")
    derived = json.loads((tmp_path / "run.json").read_text())["rows"][0]["derived"]
    assert derived["p50_ms"] == 2
    assert derived["pictures_per_s"] == 500
    # 47 GFLOP in 2 ms, of 100 GFLOP/s
    assert derived["of_roofline"] == pytest.approx(235)


def test_nothing_is_left_where_nothing_can_be_written(record, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BenchmarkError, match="cannot write"):
        write(record, tmp_path / "file" / "run.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def change(data, **values):
    data["rows"][0].update(values)


DAMAGES = {
    "not JSON": lambda data: "{",
    "a list": lambda data: "[]",
    "another format": lambda data: json.dumps({**data, "format": "x"}),
    "no rows": lambda data: json.dumps({k: v for k, v in data.items() if k != "rows"}),
    "rows of numbers": lambda data: json.dumps({**data, "rows": [1]}),
    "a negative time": lambda data: change(data, samples_ms=[-1.0]) or json.dumps(data),
    "a text for a time": lambda data: change(data, samples_ms=["1"]) or json.dumps(data),
    "a time that is no number": lambda data: change(data, samples_ms=[1e400]) or json.dumps(data),
    "timed without times": lambda data: change(data, samples_ms=[]) or json.dumps(data),
    "no such precision": lambda data: change(data, precision="int8") or json.dumps(data),
    "a huge size": lambda data: change(data, size=10**9) or json.dumps(data),
    "deep": lambda data: "[" * 100_000,
    "empty lines": lambda data: "\n\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files(record, tmp_path, damage):
    path = tmp_path / "run.jsonl"
    path.write_text(DAMAGES[damage](record.to_json()))
    with pytest.raises(BenchmarkError, match=re.escape(str(path))):
        read(path)


def test_no_such_file(tmp_path):
    with pytest.raises(BenchmarkError, match="cannot read: No such file"):
        read(tmp_path / "nothing.json")
