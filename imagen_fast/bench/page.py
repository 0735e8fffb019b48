"""A run as one page that needs nothing else: no network, no script; for phones and for the dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from imagen_fast.bench import charts
from imagen_fast.bench.chart import number
from imagen_fast.bench.comparison import Comparison, compare
from imagen_fast.bench.peer_networks import PEER_NETWORKS
from imagen_fast.bench.record import Record, Row, where
from imagen_fast.bench.runtimes import OURS
from imagen_fast.bench.style import CHART, PAGE, VARIABLES
from imagen_fast.errors import BenchmarkError

CAPTIONS = (
    (
        charts.latency,
        "Latency against size",
        "Median of one picture at a time. Whole lines: bf16; broken: fp32. Lower is better.",
    ),
    (
        charts.accuracy,
        "Accuracy against latency",
        "PSNR on Set5: ours as trained, others' as published; the times are from here. "
        "Rings: fp32. Up and to the left is better.",
    ),
    (
        charts.throughput,
        "Throughput against batch",
        "What all runs together come to. Higher is better.",
    ),
    (
        charts.roofline,
        "Roofline",
        "Grey: what this machine's memory and matrix products allow (fp32 broken). FLOPs are "
        "counted as the definition has them. Above the line: Winograd's form of a convolution "
        "needs fewer, and kernels can beat the library whose matrix product is measured.",
    ),
)
HEADINGS = (
    "p50 ms",
    "p90",
    "p99",
    "± %",
    "runs",
    "pictures/s",
    "Mpixel/s",
    "× ours",
    "% of roof",
)
METHOD = (
    "Every contestant is a process of its own and computes the same pictures. Its output is "
    "compared with the network's answer in fp32, and who computes something else gets no time. "
    "They run in turns, in another order every round, after runs that do not count; every run that "
    "counts is kept, outliers too. Inputs lie ready in the layout that the runtime likes best; "
    "clamping is in the time. ± is the middle half of the runs in per cent of the median; p90 and "
    "p99 need 5 and 20 runs."
)


def render(records: Sequence[Record], compared: Comparison | None = None) -> str:
    """The page of the last record, with the others as its past, the oldest first."""
    record = records[-1]
    figures = "".join(
        f"<figure><h2>{title}</h2><figcaption>{caption}</figcaption>{svg}</figure>"
        for draw, title, caption in CAPTIONS
        if (svg := draw(record))
    )
    same = [r for r in records if r.machine["cpu"] == record.machine["cpu"]]
    sections = [
        _section("Comparison with the earlier run", _compared(compared, record.ours))
        if compared
        else "",
        _section("All figures", _rows(record)),
        _section("To get going", _start(record)),
        _section("Other networks", _networks(record)) if _peers(record) else "",
        _section("This device over time", _history(same)) if len(same) > 1 else "",
        _section("Left out and missing", _absent(record))
        if record.left_out or record.missing
        else "",
        _section("How this was measured", _facts(record)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>imagen-fast bench: {escape(record.model)}</title>"
        f"<style>{VARIABLES}{CHART}{PAGE}</style></head><body><main>"
        f"{_header(record)}{_tiles(record)}"
        f'<div class="charts">{figures}</div>{"".join(sections)}</main></body></html>\n'
    )


def _header(record: Record) -> str:
    machine = record.machine
    about = [
        *machine["gpus"],
        f"{machine['cpu']}",
        f"{record.settings['threads']} threads",
        " ".join(machine["isa"]),
        f"{machine['date']} UTC",
    ]
    return (
        f"<h1>{escape(record.model)}: how fast it is here</h1>"
        f'<p class="muted">{escape(" · ".join(filter(None, about)))}</p>'
    )


def _tiles(record: Record) -> str:
    """The figures that people look for first."""
    place = charts.headline(record)
    timed = [r for r in record.at(place) if r.outcome == "timed" and r.network == record.model]
    ours = next((row for row in timed if row.runtime == record.ours), None)
    if ours is None:
        return ""
    tiles = [
        (f"{number(ours.summary.p50)} ms", f"{ours.runtime} {ours.precision}, {where(place)}"),
        (f"{number(ours.megapixels_per_s)} Mpx/s", "of the enlarged picture"),
    ]
    others = [row for row in timed if row.runtime not in OURS]
    if others:
        times = others[0].summary.p50 / ours.summary.p50
        tiles.append((f"{times:.1f} ×", f"{others[0].runtime} {others[0].precision} takes"))
    accuracy = "equal" if ours.psnr is None else f"{ours.psnr:.0f} dB"
    tiles.append((accuracy, f"to {ours.reference}"))
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile{" first" if index == 0 else ""}"><b>{escape(value)}</b>'
            f'<span class="muted">{escape(label)}</span></div>'
            for index, (value, label) in enumerate(tiles)
        )
        + "</div>"
    )


def _rows(record: Record) -> str:
    energy = any(row.joules is not None for row in record.contestants)
    headings = (*HEADINGS, *(("J a picture",) if energy else ()), "dB to fp32")
    body: list[str] = []
    for place in record.places:
        body.append(f'<tr class="group"><th colspan="{3 + len(headings)}">{where(place)}</th></tr>')
        for row in record.at(place):
            cells = [
                _cell(row.network, "text who"),
                _cell(row.runtime, "text"),
                _cell(row.precision),
            ]
            if row.outcome == "timed":
                cells += map(_cell, _figures(record, row, energy))
            else:
                why = escape(f"{row.outcome}: {row.why}")
                cells.append(f'<td class="text" colspan="{len(headings)}">{why}</td>')
            body.append(_tr(row, cells, record.ours))
    return _table(("network", "runtime", "", *headings), body, texts=2)


def _figures(record: Record, row: Row, energy: bool) -> Iterable[str]:
    summary, base, roof = row.summary, record.baseline(row), record.of_roofline(row)
    yield number(summary.p50)
    yield number(summary.p90) if summary.n >= 5 else "-"
    yield number(summary.p99) if summary.n >= 20 else "-"
    yield f"{100 * summary.spread:.0f}"
    yield str(summary.n)
    yield number(row.pictures_per_s)
    yield number(row.megapixels_per_s)
    yield "-" if base is None else f"{summary.p50 / base.summary.p50:.2f}"
    yield "-" if roof is None else f"{100 * roof:.0f}"
    if energy:
        yield "-" if row.joules is None else number(row.joules)
    yield "equal" if row.psnr is None else f"{row.psnr:.1f}"


def _start(record: Record) -> str:
    body = []
    on_gpu = any(row.device_bytes for row in record.contestants)
    for row in sorted(record.contestants, key=lambda r: r.cold_s or 0):
        if row.cold_s is not None and row.outcome == "timed":
            spans = (row.import_s, row.build_s, row.first_s, row.cold_s)
            cells = [
                *(_cell(row.network, "text who"), _cell(row.runtime, "text")),
                *map(_cell, (row.precision, where(row.place))),
                *(_cell("-" if s is None else f"{s:.2f}") for s in spans),
                _cell(_megabytes(row.peak_bytes)),
            ]
            if on_gpu:
                cells.append(_cell(_megabytes(row.device_bytes)))
            body.append(_tr(row, cells, record.ours))
    headings = (
        *("network", "runtime", "", "size", "import s", "build s", "first call s"),
        *("cold start s", "memory MB"),
        *(("GPU memory MB",) if on_gpu else ()),
    )
    return _table(headings, body, texts=2)


def _compared(compared: Comparison, ours: str) -> str:
    body = []
    for r in compared.ratios:
        css = "bad" if r.slower > 5 else "good" if r.calibrated < 0.95 else ""
        cells = [
            *(_cell(r.row.network, "text who"), _cell(r.row.runtime, "text")),
            *map(_cell, (r.row.precision, where(r.row.place))),
            *map(_cell, (number(r.before.summary.p50), number(r.row.summary.p50))),
            *(_cell(f"{r.raw:.2f}"), _cell(f"{r.calibrated:.2f}", css)),
        ]
        body.append(_tr(r.row, cells, ours))
    for row in compared.lost:
        why = escape(f"{row.outcome}: {row.why}")
        body.append(
            f'<tr class="lost"><td class="text">{escape(row.network)}</td>'
            f'<td class="text">{escape(row.runtime)}</td><td>{escape(row.precision)}</td>'
            f'<td>{where(row.place)}</td><td class="text" colspan="4">{why}</td></tr>'
        )
    headings = ("network", "runtime", "", "size", "before ms", "now ms", "raw", "calibrated")
    note = (
        '<p class="muted">Times new / old. Calibrated: each divided by a matrix product of NumPy '
        "that took turns with it, so that a machine that is slower today does not count.</p>"
    )
    return note + _table(headings, body, texts=2)


def _peers(record: Record) -> list[str]:
    return sorted({row.network for row in record.contestants} & set(PEER_NETWORKS))


def _networks(record: Record) -> str:
    scale = record.settings.get("scale")
    body = []
    for name in _peers(record):
        peer = PEER_NETWORKS[name]
        psnr = peer.set5.get(scale or 0)
        found = "not published" if psnr is None else f"{psnr:.2f} dB"
        cells = (_cell(name, "text"), _cell(peer.title, "text"), _cell(found, "text"))
        body.append(f"<tr>{''.join(cells)}{_cell(peer.source, 'text')}</tr>")
    note = '<p class="muted">From spandrel, with random weights, which cost the same time.</p>'
    return note + _table(("network", "", "Set5", "source"), body, texts=4)


def _history(records: Sequence[Record]) -> str:
    """Every run on this processor: our medians, and beside the last run's."""
    last = records[-1]
    place = charts.headline(last)
    shown = [r for r in last.at(place) if r.runtime == last.ours and r.network == last.model]
    headings = ["date", "commit"]
    for row in shown:
        headings += [f"{row.precision} ms", "now / then"]
    body = []
    for record in reversed(records):
        cells = [
            _cell(str(record.machine["date"]), "text"),
            _cell(str(record.machine["commit"] or "-"), "text"),
        ]
        try:
            ratios = {r.row.key: r for r in compare(last, record).ratios}
        except BenchmarkError:  # nothing in common
            ratios = {}
        for row in shown:
            ratio = ratios.get(row.key)
            median = "-" if ratio is None else number(ratio.before.summary.p50)
            cells += [_cell(median), _cell("-" if ratio is None else f"{ratio.calibrated:.2f}")]
        body.append(f"<tr>{''.join(cells)}</tr>")
    note = f'<p class="muted">{last.ours} at {where(place)}; ratios are calibrated.</p>'
    return note + _table(headings, body, texts=2)


def _absent(record: Record) -> str:
    pairs = [(place, ", ".join(names)) for place, names in record.left_out_at().items()]
    return _pairs(
        [(f"left out, {place}", f"no time or memory for {names}") for place, names in pairs]
        + [(f"missing: {name}", why) for name, why in record.missing.items()]
    )


def _facts(record: Record) -> str:
    machine, roof = record.machine, record.roofline
    rates = [f"{rate:.0f} GFLOP/s in {p} ({roof.reached_by[p]})" for p, rate in roof.gflops.items()]
    loads = " and ".join("?" if load is None else f"{load:.1f}" for load in record.load)
    facts = {
        "command": record.command,
        "took": f"{record.seconds:.0f} s; load of the machine before and after: {loads}",
        "processor": f"{machine['cpu']}, {machine['cores']} cores, {' '.join(machine['isa'])}",
        "GPU": ", ".join(machine["gpus"]) or "not measured: none here",
        "limits": f"{', '.join(rates)}; memory {roof.bandwidth:.0f} GB/s, read and written",
        "system": f"{machine['system']}, Python {machine['python']}",
        "versions": ", ".join(f"{name} {v}" for name, v in machine["versions"].items()),
        "commit": str(machine["commit"] or "-"),
    }
    return f'<p class="muted">{METHOD}</p>' + _pairs(facts.items())


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    items = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in pairs)
    return f'<dl class="facts">{items}</dl>'


def _table(headings: Sequence[str], body: Sequence[str], texts: int) -> str:
    head = "".join(
        f'<th class="text">{h}</th>' if index < texts else f"<th>{h}</th>"
        for index, h in enumerate(headings)
    )
    rows = "\n".join(body)
    inside = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    return f'<div class="wide"><table>{inside}</table></div>'


def _cell(text: str, css: str = "") -> str:
    return f'<td class="{css}">{escape(text)}</td>' if css else f"<td>{escape(text)}</td>"


def _tr(row: Row, cells: Sequence[str], ours: str) -> str:
    css = "lost" if row.outcome != "timed" else "native" if row.runtime == ours else ""
    return f'<tr class="{css}">{"".join(cells)}</tr>' if css else f"<tr>{''.join(cells)}</tr>"


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.0f}"
