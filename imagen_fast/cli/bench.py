"""`imagen-fast bench`: how fast this is here, beside what else could be used, how accurately."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagen_fast import catalogue, importers, loading
from imagen_fast.cli.interrupt import Interruptible
from imagen_fast.cli.options import a_file, as_usage, finite, threads_option
from imagen_fast.cli.saying import saying
from imagen_fast.cli.text import duration as span
from imagen_fast.cores import cores, warn_of_more
from imagen_fast.errors import BenchmarkError, WeightsError
from imagen_fast.tasks.whole_file import check_place, whole_file

if TYPE_CHECKING:
    from imagen_fast.bench.record import Record

NOTES = (
    "p50, p90: milliseconds that so many per cent of n runs took at most; ±: the middle half of "
    "them, in per cent of p50.",
    "×: p50 as a multiple of the native engine's in the same precision, or of its fastest.",
    "dB: PSNR of all samples to the network's answer in fp32, by {references}, in this run.",
    "start s: from the start of the process to the first picture; MB: its memory at most.",
)


def _names(_: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`a,b` → ("a", "b"); None, for all, if the option is not given or says so."""
    if text in (None, "all"):
        return None
    return () if text == "none" else tuple(name for name in text.split(",") if name)


def _numbers(_: click.Context, option: click.Parameter, text: str) -> tuple[int, ...]:
    """`64,256` → (64, 256), each from 1 to 8192."""
    parts = text.split(",")
    if not all(p.isascii() and p.isdigit() and 1 <= int(p) <= 8192 for p in parts):
        raise click.BadParameter(f"{text!r}; expected numbers from 1 to 8192, such as 64,256")
    return tuple(dict.fromkeys(map(int, parts)))


def _list(flag: str, metavar: str, text: str) -> Callable[[Any], Any]:
    return click.option(flag, callback=_names, metavar=metavar, help=text)


@click.command(name="bench")
@click.option(
    "-n",
    "--model",
    default="sr-x4",
    show_default=True,
    help="A name from `imagen-fast models`, a bundle, or somebody's network.",
)
@_list("--backend", "NAME,...", "Backends of this project. [all that work here]")
@_list("--peers", "all|none|NAME,...", "Other runtimes. [all that are installed]")
@_list("--precision", "NAME,...", "fp32, bf16, fp16. [fp32,bf16]")
@click.option(
    "--size",
    callback=_numbers,
    default="256,64,1024",
    show_default=True,
    metavar="N,...",
    help="Sides of the input.",
)
@click.option(
    "--batch",
    callback=_numbers,
    default="1",
    show_default=True,
    metavar="N,...",
    help="Pictures at once.",
)
@threads_option
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option(
    "--duration",
    type=click.FloatRange(min=1, max=86400),
    callback=finite,
    default=105.0,
    show_default=True,
    help="Seconds that it may take, about; what does not fit is left out, and said.",
)
@click.option(
    "--json",
    **a_file(".json", ".jsonl"),
    help="Keep the raw figures in this file; one that ends in .jsonl gets a line more.",
)
@click.option("--html", **a_file(".html"), help="Keep what is printed as a page.")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(overwrite: bool, **given: Any) -> None:
    """Measure speed and accuracy here, beside what else is installed.

    Everyone computes the same pictures in a process of its own, and is checked against the answer
    in fp32: who computes something else gets no time. They run in turns, so that a busy machine
    slows all alike, and every run that counts is kept, outliers too.
    """
    from imagen_fast.bench import record, session
    from imagen_fast.bundle import read_header
    from imagen_fast.model_file import as_bundle

    with Interruptible() as ending, ExitStack() as stack:
        file = catalogue.resolve(given["model"])
        path = stack.enter_context(as_bundle(file))
        header = read_header(path)
        if "image" not in header.graph.inputs:
            raise WeightsError(f"{path}: its network reads no picture, and bench runs pictures")
        loading.check_alone(path, header)
        options = session.BenchOptions(
            path,
            given["threads"] or cores(),
            given["duration"],
            **{key: given[key] for key in ("device", "peers")},
            **{"backends": given["backend"], "precisions": given["precision"]},
            **{"sizes": given["size"], "batches": given["batch"]},
            param=file.with_suffix(".param") if file.suffix in importers.NCNN else None,
        )
        with as_usage(BenchmarkError):
            options.check()
        if figures := given["json"]:
            adds = figures.suffix == record.LINES
            check_place(figures, (".json", record.LINES), adds or overwrite, BenchmarkError)
        if page := given["html"]:
            check_place(page, (".html",), overwrite, BenchmarkError)
        warn_of_more(given["threads"])
        say = stack.enter_context(saying(given["quiet"]))
        ending.patient = True  # until the processes are ended that it has begun
        try:
            line = " ".join(["imagen-fast", *sys.argv[1:]])
            made = session.run(options, line, say, ending.heed)
        except KeyboardInterrupt:
            ending.end()
    if not any("samples_ms" in row for row in made["rows"]):
        reasons = {row["why"] for row in made["rows"]} | set(made["left_out"])
        raise BenchmarkError(f"nothing could be measured: {'; '.join(sorted(reasons))}")
    _show(made, page, overwrite)
    if figures:
        record.write(made, figures, replace=overwrite)
    for kept in filter(None, (figures, page)):
        click.echo(f"written: {kept}")


def _show(made: Record, page: Path | None, overwrite: bool) -> None:
    """Print a table, what was left out, and how to read it; keep it as a page if there is one."""
    from rich.console import Console

    from imagen_fast.bench import table

    console = table.wide_enough(Console(highlight=False, record=page is not None))
    machine, settings = made["machine"], made["settings"]
    about = (made["model"], machine["cpu"], f"{settings['threads']} threads", *machine["gpus"])
    console.print(f"\n{', '.join(about)}\n", style="bold", markup=False)
    table.show(made["rows"], console)
    for title, lines in (
        ("Left out; a longer --duration makes room:", made["left_out"]),
        ("Missing here:", made["missing"]),
    ):
        if lines:
            console.print(f"\n{title}")
        for what, said in lines.items():
            text = said if isinstance(said, str) else ", ".join(said)
            console.print(f"  {what}: {text}", style="dim", markup=False)
    references = " or ".join(sorted({r["reference"] for r in made["rows"] if "reference" in r}))
    console.print()
    for note in NOTES:
        console.print(note.format(references=references or "nobody"), style="dim", markup=False)
    loads = " and ".join("?" if load is None else f"{load:.1f}" for load in made["load"])
    took = f"{span(made['seconds'])}; load of the machine before and after: {loads}"
    commit = f", commit {machine['commit']}" if machine["commit"] else ""  # of a checkout
    console.print(f"{took}; {machine['date']} UTC{commit}", style="dim")
    if page:
        with whole_file(page, overwrite) as file:
            file.write(console.export_html().encode())
