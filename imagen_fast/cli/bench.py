"""`imagen-fast bench`: how fast this is here, against what else could be used, how accurately."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from imagen_fast import catalogue
from imagen_fast.bundle import read_header
from imagen_fast.cli.options import as_usage, finite, threads_option
from imagen_fast.cores import cores, warn_of_more
from imagen_fast.errors import BenchmarkError, WeightsError

DEFAULT_MODEL = "sr-x4"
DEFAULT_SECONDS = 105.0
REGRESSED = 1


def _names(_: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """`a,b` → ("a", "b"); None if the option is not given."""
    return None if text is None else tuple(name for name in text.split(",") if name)


def _numbers(_: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """`64,256` → (64, 256), each from 1 to 8192."""
    parts = [] if text is None else text.split(",")
    if not all(p.isascii() and p.isdigit() and 1 <= int(p) <= 8192 for p in parts):
        raise click.BadParameter(f"{text!r}; expected numbers from 1 to 8192, such as 64,256")
    return tuple(dict.fromkeys(map(int, parts)))


@click.command(name="bench")
@click.option("-n", "--model", help="A name from `imagen-fast models`, or a bundle. [sr-x4]")
@click.option(
    "--backend",
    "backends",
    callback=_names,
    metavar="NAME,...",
    help="Backends of this project. [all that work here]",
)
@click.option(
    "--size", "sizes", callback=_numbers, metavar="N,...", help="Sides of the input. [64 to 1024]"
)
@click.option(
    "--batch", "batches", callback=_numbers, metavar="N,...", help="Pictures at once. [1, some 8]"
)
@click.option(
    "--precision",
    "precisions",
    callback=_names,
    metavar="NAME,...",
    help="fp32, bf16, fp16. [fp32,bf16]",
)
@threads_option
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option(
    "--duration",
    type=click.FloatRange(min=1, max=86400),
    callback=finite,
    default=DEFAULT_SECONDS,
    show_default=True,
    help="Seconds that it may take; what does not fit is left out, and said.",
)
@click.option(
    "--peers",
    callback=_names,
    metavar="all|none|NAME,...",
    help="Other runtimes, and other networks. [all that are installed]",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path),
    help="Keep the raw figures in this file; one that ends in .jsonl gets a line more.",
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(path_type=Path),
    help="Write a page. With --json FILE.jsonl it also shows the earlier runs of that file.",
)
@click.option(
    "--compare",
    "old_path",
    type=click.Path(path_type=Path),
    help="Beside the last run in this file of --json.",
)
@click.option(
    "--fail-above",
    type=click.FloatRange(min=0),
    callback=finite,
    metavar="PERCENT",
    help="With --compare: exit code 1 if one of our rows is slower by more, or lost its time.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    model: str | None,
    backends: tuple[str, ...] | None,
    sizes: tuple[int, ...],
    batches: tuple[int, ...],
    precisions: tuple[str, ...] | None,
    threads: int | None,
    device: str,
    duration: float,
    peers: tuple[str, ...] | None,
    json_path: Path | None,
    html_path: Path | None,
    old_path: Path | None,
    fail_above: float | None,
    quiet: bool,
) -> None:
    """Measure speed and accuracy here, beside what else is installed.

    Everyone computes the same pictures in a process of its own, and is checked against the answer
    in fp32: who computes something else gets no time. They run in turns, so that a busy machine
    slows all alike, and every run that counts is kept, outliers too.
    """
    from imagen_fast.bench import comparison, page, record_file, session
    from imagen_fast.bench.entrants import Options, check_names
    from imagen_fast.cli import bench_table
    from imagen_fast.cli.bench_progress import watch

    if fail_above is not None and old_path is None:
        raise click.UsageError("--fail-above compares with an earlier run: name it by --compare")
    path = catalogue.resolve(DEFAULT_MODEL if model is None else model)
    header = read_header(path)
    if header.spec.architecture == "listing":
        raise WeightsError(f"{path}: a listing reads rows of numbers; bench enlarges pictures")
    options = Options(
        model=str(path),
        name=path.stem,
        scale=header.graph.scale,
        threads=threads or cores(),
        device=device,
        backends=backends,
        peers=_chosen(peers),
        precisions=precisions,
    )
    with as_usage(BenchmarkError):
        check_names(options)
    old = record_file.read(old_path)[-1] if old_path else None
    keeps = json_path and json_path.suffix == record_file.LINES and json_path.exists()
    earlier = record_file.read(json_path) if json_path and keeps else []
    warn_of_more(threads)
    with ExitStack() as stack:
        made = session.run(
            options,
            sizes=sizes,
            batches=batches,
            seconds=duration,
            command=_command(),
            observer=stack.enter_context(watch(duration, quiet)),
        )
    if json_path:
        record_file.write(made, json_path)
    compared = comparison.compare(made, old) if old else None
    if html_path:
        record_file.write_text(page.render([*earlier, made], compared), html_path)
    bench_table.show(made, compared)
    for kept in filter(None, (json_path, html_path)):
        click.echo(f"written: {kept}")
    if compared and fail_above is not None:
        failures = compared.failures(fail_above)
        for failure in failures:
            click.echo(f"worse: {failure}", err=True)
        if failures:
            sys.exit(REGRESSED)
        click.echo(f"nothing of ours is slower by more than {fail_above:g} %")


def _chosen(peers: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """`all` is what is installed, as without the option; `none` is nobody."""
    if peers in (None, ("all",)):
        return None
    return () if peers == ("none",) else peers


def _command() -> str:
    """What the user wrote, with the program's own name."""
    return " ".join(["imagen-fast", *sys.argv[1:]])
