"""What records of `imagen-fast bench` show, as pictures.

    python benchmarks/charts.py RECORD [--out FOLDER]

writes latency.svg (milliseconds of one picture against its size) and, where RECORD.jsonl holds
several runs of one machine, history.svg (our medians from run to run). Needs matplotlib:
pip install '.[bench]'.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imagen_fast.bench.record import Record, Row, read
from imagen_fast.bench.timing import Summary

COLOURS = {"native": "tab:orange", "openvino": "tab:blue", "onnxruntime": "tab:green"}
STYLES = {"fp32": "--", "bf16": "-", "fp16": ":"}


def median(row: Row) -> float:
    return Summary.of(row["samples_ms"]).p50


def timed(made: Record) -> list[Row]:
    """Rows of the model's own with times, one picture at once."""
    return [
        row
        for row in made["rows"]
        if row.get("samples_ms") and row["batch"] == 1 and row["network"] == made["model"]
    ]


def lines(axes: Any, rows: Sequence[tuple[Any, Row]]) -> None:
    """A line for each runtime and precision through (x, its median)."""
    kinds = dict.fromkeys((row["runtime"], row["precision"]) for _, row in rows)
    for runtime, precision in kinds:
        points = [
            (x, median(row))
            for x, row in rows
            if (row["runtime"], row["precision"]) == (runtime, precision)
        ]
        if len(points) > 1:
            xs, ys = zip(*points, strict=True)
            style = {"color": COLOURS.get(runtime), "linestyle": STYLES[precision], "marker": "o"}
            axes.plot(xs, ys, label=f"{runtime} {precision}", **style)
    axes.set(yscale="log", ylabel="milliseconds, median")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def latency(made: Record, path: Path) -> None:
    """Of one picture, against its size; the file is the same whenever the record is."""
    figure, axes = _figure()
    lines(axes, sorted(((row["size"], row) for row in timed(made)), key=lambda pair: pair[0]))
    sizes = sorted({row["size"] for row in timed(made)})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size}²" for size in sizes])
    axes.set(title=f"{made['model']}, {made['machine']['cpu']}", xlabel="size of the input")
    _save(figure, path)


def history(records: Sequence[Record], path: Path) -> None:
    """Our medians at the last record's first size, from run to run on its machine."""
    last = records[-1]
    same = [made for made in records if made["machine"]["cpu"] == last["machine"]["cpu"]]
    size = next(row["size"] for row in timed(last))
    figure, axes = _figure()
    lines(axes, [
        (f"{made['machine']['date']}\n{made['machine']['commit']}", row)
        for made in same
        for row in timed(made)
        if row["size"] == size and row["runtime"] == "native"
    ])  # fmt: skip
    axes.set(title=f"{last['model']} at {size}², {last['machine']['cpu']}")
    _save(figure, path)


def _figure() -> tuple[Any, Any]:
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "imagen-fast"
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    print(f"written: {path}")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("record", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    records = read(options.record)
    latency(records[-1], options.out / "latency.svg")
    if len(records) > 1:
        history(records, options.out / "history.svg")


if __name__ == "__main__":
    main()
