"""The tables at the end of `imagen-fast bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from imagen_fast.bench.comparison import Comparison
from imagen_fast.bench.record import Place, Record, Row, where
from imagen_fast.cli.text import duration

if TYPE_CHECKING:
    from rich.table import Table

NARROWEST = 80
Cell = Callable[[Record, Row], str]
NOTES = (
    "p50, p90, p99: milliseconds that so many per cent of the runs took at most; ±: the middle "
    "half of them, in per cent of p50; n: runs.",
    "×: p50 as a multiple of the native engine's in the same precision, where it has one.",
    "roof: GFLOP/s in per cent of what the memory and a library's matrix product reach here, "
    "counted as the definition has it (2 a multiplication with its sum, 9 taps a convolution). "
    "More than 100: Winograd needs fewer, and kernels can beat that library.",
)


def show(record: Record, compared: Comparison | None) -> None:
    """Print everything on stdout."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=110)
    machine, roof = record.machine, record.roofline
    console.print()
    about = [str(machine["cpu"]), f"{record.settings['threads']} threads", *machine["gpus"]]
    console.print(f"{record.model} on {', '.join(about)}", style="bold", markup=False)
    rates = ", ".join(
        f"{rate:.0f} GFLOP/s in {precision} ({roof.reached_by[precision]})"
        for precision, rate in roof.gflops.items()
    )
    console.print(f"at most {rates}; memory {roof.bandwidth:.0f} GB/s", style="dim", markup=False)
    for place in record.places:
        console.print()
        console.print(_speed(record, place, console.width))
    console.print()
    console.print(_start(record))
    if compared:
        console.print()
        console.print(_compared(compared))
    _notes(record, compared, console.print)


def _notes(record: Record, compared: Comparison | None, say: Callable[..., None]) -> None:
    """What was left out, and how to read the tables."""
    if record.left_out:
        say("\nLeft out for want of time or memory (--json says of each why); a longer --duration,")
        say("or fewer of --backend, --peers and --size, make room:")
    for place, names in record.left_out_at().items():
        say(f"  {place}: {', '.join(names)}", style="dim", markup=False)
    if record.missing:
        say("\nMissing here:")
    for runtime, reason in record.missing.items():
        say(f"  {runtime}: {reason}", style="dim", markup=False)
    if compared and compared.other_machine:
        say("\nThe earlier run is another processor's: only the calibrated ratios mean something.")
    if compared and compared.absent:
        absent = "; ".join(f"{row.name}, {where(row.place)}" for row in compared.absent)
        say(f"\nIn the earlier run only: {absent}", style="dim", markup=False)
    loads = " and ".join("?" if load is None else f"{load:.1f}" for load in record.load)
    say()
    references = " or ".join(sorted({r.reference for r in record.contestants if r.reference}))
    for note in (*NOTES, f"dB: PSNR to the network's answer by {references}, of the same run."):
        say(note, style="dim", markup=False)
    busy = f"load of the machine before and after: {loads}"
    say(f"{duration(record.seconds)}; {busy}", style="dim", markup=False)


def _speed(record: Record, place: Place, width: int) -> Table:
    """Contestants at one size and batch, the fastest first."""
    columns: dict[str, Cell] = {
        "p50": lambda _, r: _number(r.summary.p50),
        "p90": lambda _, r: _number(r.summary.p90) if r.summary.n >= 5 else "-",
        "p99": lambda _, r: _number(r.summary.p99) if r.summary.n >= 20 else "-",
        "±": lambda _, r: f"{100 * r.summary.spread:.0f}",
        "n": lambda _, r: str(r.summary.n),
        "pict/s": lambda _, r: _number(r.pictures_per_s),
        "Mpx/s": lambda _, r: _number(r.megapixels_per_s),
        "×": _ratio,
        "roof": _roof,
        "dB": _accuracy,
    }
    if width < NARROWEST:
        columns = {name: columns[name] for name in ("p50", "±", "Mpx/s", "×", "dB")}
    if any(row.joules is not None for row in record.at(place)):
        columns["J"] = lambda _, r: "-" if r.joules is None else _number(r.joules)
    table = _table(where(place))
    for heading in ("network", "runtime", ""):
        table.add_column(heading, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in record.at(place):
        style = "bold green" if row.runtime == record.ours else ""
        names = (row.network, row.runtime, row.precision)
        if row.outcome == "timed":
            cells = [cell(record, row) for cell in columns.values()]
            table.add_row(*names, *cells, style=style)
        else:
            table.add_row(*names, row.outcome, *[""] * (len(columns) - 1), style="red")
    for row in record.at(place):
        if row.outcome != "timed":
            table.caption = f"{table.caption or ''}{row.name} is {row.outcome}: {row.why}\n"
    return table


def _start(record: Record) -> Table:
    """What it takes to get going, at the first size of each contestant."""
    table = _table("to get going")
    table.add_column("network", no_wrap=True)
    table.add_column("runtime", no_wrap=True)
    table.add_column("", no_wrap=True)
    for heading in ("size", "import", "build", "first call", "cold start", "memory", "on GPU"):
        if heading != "on GPU" or any(row.device_bytes for row in record.contestants):
            table.add_column(heading, justify="right", no_wrap=True)
    for row in sorted(record.contestants, key=lambda r: r.cold_s or 0):
        if row.cold_s is None or row.import_s is None or row.outcome != "timed":
            continue
        spans = (row.import_s, row.build_s or 0, row.first_s or 0, row.cold_s)
        cells = [*(f"{span:.2f} s" for span in spans), _megabytes(row.peak_bytes)]
        if any(r.device_bytes for r in record.contestants):
            cells.append(_megabytes(row.device_bytes))
        style = "bold green" if row.runtime == record.ours else ""
        table.add_row(
            *(row.network, row.runtime, row.precision, where(row.place)), *cells, style=style
        )
    return table


def _compared(compared: Comparison) -> Table:
    table = _table("beside the earlier run: new / old")
    for heading in ("size", "network", "runtime", ""):
        table.add_column(heading, no_wrap=True)
    for heading in ("before ms", "now ms", "raw", "calibrated"):
        table.add_column(heading, justify="right", no_wrap=True)
    for r in compared.ratios:
        row = r.row
        style = "red" if r.slower > 5 else "green" if r.calibrated < 0.95 else ""
        table.add_row(
            *(where(row.place), row.network, row.runtime, row.precision),
            *(_number(r.before.summary.p50), _number(row.summary.p50)),
            *(f"{r.raw:.2f}", f"{r.calibrated:.2f}"),
            style=style,
        )
    for row in compared.lost:
        names = (where(row.place), row.network, row.runtime, row.precision)
        table.add_row(*names, "", row.outcome, "", "", style="red")
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        caption_style="red",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
    )


def _ratio(record: Record, row: Row) -> str:
    base = record.baseline(row)
    return "-" if base is None else f"{row.summary.p50 / base.summary.p50:.2f}"


def _roof(record: Record, row: Row) -> str:
    part = record.of_roofline(row)
    return "-" if part is None else f"{100 * part:.0f}"


def _accuracy(_: Record, row: Row) -> str:
    return "equal" if row.psnr is None else f"{row.psnr:.0f}"


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.0f} MB"


def _number(value: float) -> str:
    """Three digits that say something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
