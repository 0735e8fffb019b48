"""Charts of records: that of the README's, and a history of two runs."""

import copy
from pathlib import Path

import pytest

from imagen_fast.bench.record import read

pytest.importorskip("matplotlib", reason="the extra bench is not installed")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def charts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return pytest.importorskip("charts")


@pytest.mark.parametrize(
    "path", sorted(BENCHMARKS.glob("results/*/bench.jsonl")), ids=lambda p: p.parent.name
)
def test_latency_and_history(charts, path, tmp_path):
    made = read(path)[-1]
    charts.latency(made, tmp_path / "a.svg")
    charts.latency(made, tmp_path / "b.svg")
    said = (tmp_path / "a.svg").read_text()  # letters' text stands beside their outlines
    assert said == (tmp_path / "b.svg").read_text()
    assert "<!-- native bf16 -->" in said
    assert "<!-- openvino bf16 -->" in said
    assert "span" not in said  # another network
    before, other = copy.deepcopy(made), copy.deepcopy(made)
    before["machine"]["commit"], other["machine"]["cpu"] = "the-one-before", "another"
    charts.history([before, other, made], tmp_path / "c.svg")
    said = (tmp_path / "c.svg").read_text()
    assert "<!-- the-one-before -->" in said
    assert "another" not in said
