"""The four pictures of a run: latency, throughput, roofline, and accuracy against latency."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from imagen_fast.bench.chart import Chart, Point, Series
from imagen_fast.bench.peer_networks import PEER_NETWORKS, PUBLISHED
from imagen_fast.bench.record import Record, Row
from imagen_fast.bench.style import css_class

LABELS = 126  # pixels for the names of lines


def latency(record: Record) -> str | None:
    """Median against size, a picture at a time; None if fewer than two sizes were measured."""
    rows = [r for r in _timed(record) if r.batch == 1 and r.network == record.model]
    sizes = sorted({row.size for row in rows})
    if len(sizes) < 2:
        return None
    chart = Chart.over(
        "Latency against size",
        ("side of the input, pixels", sizes),
        ("ms", [row.summary.p50 for row in rows]),
        labels=LABELS,
        x_ticks=sizes,
    )
    lines = _lines(rows, lambda row: (row.size, row.summary.p50))
    return chart.draw(lines, at_right=True)


def throughput(record: Record) -> str | None:
    """Megapixels a second against batch; None if no size has two batches."""
    rows = [r for r in _timed(record) if r.network == record.model]
    by_size = {size: {r.batch for r in rows if r.size == size} for size in {r.size for r in rows}}
    size = max(by_size, key=lambda s: (len(by_size[s]), -s), default=0)
    if not size or len(by_size[size]) < 2:
        return None
    rows = [row for row in rows if row.size == size]
    chart = Chart.over(
        "Throughput against batch",
        (f"pictures of {size}² at once", sorted(by_size[size])),
        ("megapixels of the result a second", [row.megapixels_per_s for row in rows]),
        labels=LABELS,
        log_y=False,
        from_zero=True,
        x_ticks=sorted(by_size[size]),
    )
    return chart.draw(_lines(rows, lambda row: (row.batch, row.megapixels_per_s)), at_right=True)


def roofline(record: Record) -> str | None:
    """GFLOP/s against FLOPs a byte at the most interesting size, under the machine's limits."""
    place = headline(record)
    rows = [r for r in _timed(record) if r.place == place and r.megabytes and r.gflops]
    points = [(r, 1e3 * (r.gflop or 0) / (r.megabytes or 1), r.gflops or 0) for r in rows]
    roof = record.roofline
    if not points or not roof.gflops:
        return None
    highest = max(roof.gflops.values())
    lowest_x = min(rate / roof.bandwidth for rate in roof.gflops.values()) / 4
    chart = Chart.over(
        "Roofline",
        ("FLOPs for a byte of memory", [lowest_x, *(x * 2.5 for _, x, _ in points)]),
        ("GFLOP/s", [roof.bandwidth * lowest_x, highest, *(y for _, _, y in points)]),
    )
    lines = [_roof(chart, precision, record) for precision in roof.gflops]
    dots = [
        Series(f"{r.runtime} {r.precision}", css_class(r.runtime), [(x, y)], hollow=_hollow(r))
        for r, x, y in sorted(points, key=lambda point: point[0].runtime != record.ours)
    ]
    return chart.draw([*lines, *dots], at_right=False)


def accuracy(record: Record) -> str | None:
    """PSNR on Set5 against latency: our model, and other networks with what they published."""
    scale, own = record.settings.get("scale"), record.settings.get("set5")
    dots: list[Series] = []
    for row in record.at(headline(record)):
        peer = PEER_NETWORKS.get(row.network)
        psnr = peer.set5.get(scale or 0) if peer else own
        if row.outcome != "timed" or not psnr or (not peer and row.runtime != record.ours):
            continue
        name = peer.title.partition(",")[0] if peer else record.model
        label = f"{name}, {row.runtime} {row.precision}"
        point = (row.summary.p50, psnr)
        dots.append(Series(label, css_class(row.runtime), [point], hollow=_hollow(row)))
    if not own or not dots:
        return None
    others = PUBLISHED.get(scale or 0, {})
    chart = Chart.over(
        "Accuracy against latency",
        ("ms for a picture", [series.points[0][0] for series in dots]),
        ("dB on Set5", [*(series.points[0][1] for series in dots), *others.values()]),
        log_y=False,
    )
    limits = [
        Series(name, "c-other", [(chart.x.low, psnr), (chart.x.high, psnr)], True, dots=False)
        for name, psnr in others.items()
    ]
    return chart.draw([*limits, *dots], at_right=False)


def headline(record: Record) -> tuple[int, int]:
    """256², or the size, a picture at a time if possible, at which most have a time."""
    counts = Counter(row.place for row in _timed(record))
    return max(
        counts,
        key=lambda place: (place == (256, 1), place[1] == 1, counts[place]),
        default=(0, 0),
    )


def _timed(record: Record) -> list[Row]:
    return [row for row in record.contestants if row.outcome == "timed"]


def _hollow(row: Row) -> bool:
    """fp32's points are rings."""
    return row.precision == "fp32"


def _lines(rows: Sequence[Row], point: Callable[[Row], Point]) -> list[Series]:
    """A line for every runtime and precision: whole for half precision, broken for fp32."""
    found: dict[tuple[str, str], Series] = {}
    for row in sorted(rows, key=lambda r: (r.size, r.batch)):
        series = found.setdefault(
            (row.runtime, row.precision),
            Series(
                f"{row.runtime} {row.precision}",
                css_class(row.runtime),
                [],
                dashed=_hollow(row),
                hollow=_hollow(row),
            ),
        )
        series.points.append(point(row))
    return list(found.values())


def _roof(chart: Chart, precision: str, record: Record) -> Series:
    """Memory's slope, then the rate of products in a precision."""
    rate, bandwidth = record.roofline.gflops[precision], record.roofline.bandwidth
    knee = rate / bandwidth
    start = max(chart.x.low, chart.y.low / bandwidth)
    points = [(start, bandwidth * start), (knee, rate), (chart.x.high, rate)]
    label = f"{precision}: {rate:.0f} GFLOP/s"
    return Series(label, "c-other", points, dashed=precision == "fp32", dots=False)
