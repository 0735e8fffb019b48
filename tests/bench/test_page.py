"""The page needs nothing else, draws what was measured, and takes no text for markup."""

import re
from xml.etree import ElementTree

import pytest

from imagen_fast.bench import page
from imagen_fast.bench.comparison import compare
from imagen_fast.bench.record import LeftOut

HOSTILE = "</text><script>alert(1)</script>&\"'"


@pytest.fixture
def full(record_of, row):
    """Two sizes, two batches, two runtimes, another network, a wrong row."""
    rows = [
        row(*(factor * size / 64 for factor in (9.0, 10.0, 12.0)), size=size, runtime=runtime,
            precision=precision)
        for size in (64, 256)
        for runtime, factor_of in (("native", 1), ("openvino", 3))
        for precision in ("fp32", "bf16")
    ]  # fmt: skip
    rows += [row(80.0, size=64, batch=8), row(30.0, network="span", runtime="openvino", gflop=57.0)]
    rows.append(row(outcome="wrong", why="3.0 dB", runtime="eager"))
    made = record_of(*rows)
    made.left_out = [LeftOut("sr-x4-tiny", "torch", "fp32", 256, 1, "takes about 90 s")]
    made.missing = {"tensorrt": "not installed"}
    return made


def svgs(text):
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_all_four_charts_and_every_row(full):
    text = page.render([full])
    assert [svg.get("aria-label") for svg in svgs(text)] == [
        *(
            "Latency against size",
            "Accuracy against latency",
            "Throughput against batch",
            "Roofline",
        )
    ]
    assert "wrong: 3.0 dB" in text
    assert "SPAN, 48 channels" in text
    assert "not measured: none here" in text  # the GPU
    assert text.count("<tr") > len(full.contestants)


def test_points_lie_inside_their_chart(full):
    for svg in svgs(page.render([full])):
        _, _, width, height = map(float, svg.get("viewBox").split())
        circles = [e for e in svg.iter() if e.tag.endswith("circle")]
        assert circles
        for circle in circles:
            assert 0 < float(circle.get("cx")) < width
            assert 0 < float(circle.get("cy")) < height


def test_larger_is_higher(full):
    latency = svgs(page.render([full]))[0]
    line = next(e for e in latency.iter() if e.tag.endswith("polyline"))
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.get("points").split())
    assert x1 < x2
    assert y1 > y2


def test_nothing_is_fetched(full):
    text = page.render([full, full], compare(full, full))
    links = re.findall(r"""(?:src|href|url|@import)\s*[=(]\s*["']?([^"')\s]+)""", text)
    assert links == []
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_text_is_no_markup(full, row):
    full.machine["cpu"] = full.command = full.model = HOSTILE
    full.rows += [row(4.0, network=HOSTILE), row(outcome="failed", why=HOSTILE, runtime="torch")]
    text = page.render([full])
    assert "<script" not in text
    svgs(text)  # are still well-formed


def test_earlier_runs_are_a_table(full, record_of, row):
    before = record_of(row(20.0, 20.0, 20.0))
    before.machine["commit"] = "old-one"
    assert "old-one" in page.render([before, full])
    assert "This device over time" not in page.render([full])


def test_a_record_of_almost_nothing(record_of, row):
    assert "All figures" in page.render([record_of(row(5.0))])
    assert "All figures" in page.render([record_of(row(outcome="failed", why="x"))])
