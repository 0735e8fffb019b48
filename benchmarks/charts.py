"""What records of `imagen-fast bench` show, as pictures.

    python benchmarks/charts.py RECORD

writes latency.svg (milliseconds of one picture against its size) and, where RECORD.jsonl holds
several runs of one machine, history.svg (our medians from run to run). Needs matplotlib:
pip install '.[bench]'.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagen_fast.bench.record import Record, Row, read
from imagen_fast.bench.timing import Summary

STYLES = {"fp32": "--", "bf16": "-", "fp16": ":"}


def timed(made: Record) -> list[Row]:
    """Rows of the model's own with times, one picture at once, the smallest first."""
    own = (x for x in made["rows"] if (x["network"], x["batch"]) == (made["model"], 1))
    return sorted((row for row in own if row.get("samples_ms")), key=lambda row: row["size"])


def draw(points: Sequence[tuple[Any, Row]], path: Path, title: str, **axes: Any) -> None:
    """A line for each runtime and precision through (x, its median); alike whenever they are."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "imagen-fast"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    plot = figure.subplots()
    lines: dict[str, dict[str, list[tuple[Any, float]]]] = {}
    for x, row in points:
        line = lines.setdefault(row["runtime"], {}).setdefault(row["precision"], [])
        line.append((x, Summary.of(row["samples_ms"]).p50))
    for number, runtime in enumerate(sorted(lines)):
        for precision, line in lines[runtime].items():
            if len(line) > 1:
                style = {"color": f"C{number}", "linestyle": STYLES[precision], "marker": "o"}
                plot.plot(*zip(*line, strict=True), label=f"{runtime} {precision}", **style)
    plot.set(yscale="log", ylabel="milliseconds, median", title=title, **axes)
    plot.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(path, metadata={"Date": None})
    print(f"written: {path}")


def latency(made: Record, path: Path) -> None:
    """Of one picture, against its size."""
    points = [(f"{row['size']}²", row) for row in timed(made)]
    draw(points, path, f"{made['model']}, {made['machine']['cpu']}", xlabel="size of the input")


def history(records: Sequence[Record], path: Path) -> None:
    """Our medians at the last record's smallest size, from run to run on its machine."""
    last = records[-1]
    cpu, size = last["machine"]["cpu"], timed(last)[0]["size"]
    points = [
        (f"{made['machine']['date']}\n{made['machine']['commit']}", row)
        for made in records
        for row in timed(made)
        if (made["machine"]["cpu"], row["size"], row["runtime"]) == (cpu, size, "native")
    ]
    draw(points, path, f"{last['model']} at {size}², {cpu}")


if __name__ == "__main__":
    records = read(Path(sys.argv[1]))
    latency(records[-1], Path("latency.svg"))
    if len(records) > 1:
        history(records, Path("history.svg"))
