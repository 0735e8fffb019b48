"""Charts of records: that of the README's, and a history of two runs."""

import copy
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from imagen_fast.bench.record import read

pytest.importorskip("matplotlib", reason="the extra bench is not installed")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def charts(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import charts

    yield charts
    del sys.modules["charts"]


@pytest.fixture(
    params=sorted(BENCHMARKS.glob("results/*/bench.jsonl")), ids=lambda p: p.parent.name
)
def made(request):
    return read(request.param)[-1]


def texts(path):
    """What stands in a picture, which matplotlib keeps beside the outlines of its letters."""
    ElementTree.parse(path)
    return path.read_text()


def test_latency(charts, made, tmp_path):
    charts.latency(made, tmp_path / "a.svg")
    charts.latency(made, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    said = texts(tmp_path / "a.svg")
    assert "<!-- native bf16 -->" in said
    assert "<!-- openvino bf16 -->" in said
    assert "span" not in said  # another network


def test_history(charts, made, tmp_path):
    before, other = copy.deepcopy(made), copy.deepcopy(made)
    before["machine"]["commit"], other["machine"]["cpu"] = "the-one-before", "another"
    charts.history([before, other, made], tmp_path / "a.svg")
    assert "<!-- the-one-before -->" in texts(tmp_path / "a.svg")
    assert "another" not in texts(tmp_path / "a.svg")
