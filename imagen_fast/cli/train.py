"""`imagen-fast train`: from a TOML configuration, or a model and pictures, to a file of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagen_fast import atomic
from imagen_fast.backends.eager import without_torch
from imagen_fast.cli.interrupt import Interruptible, stopped_by
from imagen_fast.cli.options import a_device, finite, threads_option
from imagen_fast.cores import warn_of_more
from imagen_fast.errors import TrainingError

if TYPE_CHECKING:
    from imagen_fast.training.config import Config


@click.command(name="train")
@click.argument("config", type=click.Path(path_type=Path), required=False)
@click.option("--from", "start", metavar="MODEL", help="Without CONFIG: the model to train on.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="With --from: what to train it on; a tenth of them is held out.",
)
@click.option("--resume", is_flag=True, help="Go on from the output folder's checkpoint, if any.")
@click.option(
    "--extend",
    is_flag=True,
    help="Train on with a new schedule: from a finished run's end, or from shipped weights. With "
    "--resume, once the run is finished.",
)
@click.option(
    "-o", "--output", help="Folder for checkpoint, curves and weights; with --from, the file."
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Train for this many steps; with --extend, more.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    callback=finite,
    help="Train for this many minutes; with --extend, more.",
)
@click.option(
    "--pause-after",
    type=click.FloatRange(min=0),
    callback=finite,
    metavar="MINUTES",
    help="Save and stop after this long; --resume goes on with the schedule.",
)
@click.option("--device", callback=a_device, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--processes", type=click.IntRange(1, 1024), help="Processes (one a GPU) that share the batch."
)
@threads_option
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Change a value of the configuration; may be repeated.",
)
def command(
    config: Path | None,
    start: str | None,
    pictures: Path | None,
    resume: bool,
    extend: bool,
    pause_after: float | None,
    overrides: tuple[str, ...],
    **options: str | float | None,
) -> None:
    """Train a model as CONFIG (a TOML file) says, or one that there is on your pictures.

    Ctrl-C saves and stops; run the same command with --resume to go on. With --from there is no
    going on; the file that -o names is written, and beside it a picture: before, after and the
    truth. It is the model as it was if no more came of it.

    \b
    imagen-fast train configs/sr-x4-tiny.toml
    imagen-fast train configs/sr-x4-tiny.toml --resume --set optimiser.lr=0.0005
    imagen-fast train configs/sr-x4-tiny.toml --extend --steps 20000
    imagen-fast train --from sr-x4 --pictures FOLDER --minutes 10 -o mine.safetensors
    """
    if config is None or start is not None or pictures is not None:
        if config or not (start and pictures and options["output"]):
            raise click.UsageError(
                "expected CONFIG, or without it --from MODEL, --pictures FOLDER and -o FILE"
            )
        if resume or extend or pause_after is not None or overrides or options["processes"]:
            raise click.UsageError(
                "--from goes with -o, --minutes, --steps, --device and --threads alone"
            )
        with Interruptible():
            _finetune(start, pictures, options)
        return
    given = {key: value for key, value in options.items() if value is not None}
    # Steps and minutes exclude each other: the one asked for here replaces the file's.
    if "steps" in given:
        given["minutes"] = 0.0
    elif "minutes" in given:
        given["steps"] = 0
    described = _described(config, overrides, given)
    if missing := without_torch("train"):
        raise TrainingError(missing)
    from imagen_fast.training.trainer import train

    warn_of_more(described.run.threads)
    outcome = train(
        described,
        resume=resume,
        extend=extend,
        pause_after=math.inf if pause_after is None else pause_after,
    )
    if outcome.finished:
        click.echo(f"trained for {outcome.step} steps: {outcome.bundle}")
        return
    click.echo(f"stopped at step {outcome.step}; --resume goes on", err=True)
    if outcome.interrupted:
        stopped_by(outcome.interrupted)


def _described(path: Path, overrides: Sequence[str], given: Mapping[str, object]) -> Config:
    """The configuration. What is wrong on the command line alone is wrong usage."""
    from imagen_fast.training.config_file import load_config

    try:
        return load_config(path, overrides, given)
    except TrainingError as error:
        with suppress(TrainingError):
            load_config(path)  # which is right by itself
            raise click.UsageError(str(error)) from error
        raise


def _finetune(start: str, folder: Path, options: dict[str, str | float | None]) -> None:
    given: dict[str, object] = {key: x for key, x in options.items() if x is not None}
    output = Path(str(given.pop("output")))
    if output.suffix != ".safetensors":
        raise click.UsageError(f"-o {output}: expected the name of a .safetensors file")
    page = output.with_suffix(".png")
    for path in (output, page):
        if path.exists():
            raise TrainingError(f"{path} exists; choose another name (-o)")
    if not output.parent.is_dir():
        raise TrainingError(f"{output.parent} is no folder; make it first")
    atomic.check(output)
    if not {"steps", "minutes"} & given.keys():
        given["minutes"] = 10.0
    if missing := without_torch("train"):
        raise TrainingError(missing)
    from imagen_fast.image.picture import Picture
    from imagen_fast.image.write import write
    from imagen_fast.tasks.evaluate import crop, page_of
    from imagen_fast.training.finetune import finetune

    warn_of_more(None if options["threads"] is None else int(options["threads"]))
    gain = finetune(start, folder, output, given)
    crops = [crop(pictures) for pictures in gain.pictures]
    write(page, Picture(page_of(crops)), overwrite=False)
    change = f"{gain.before:.2f} to {gain.after:.2f} dB on what was held out"
    if gain.after > gain.before:
        click.echo(f"{output}: from {change}; {page}: before, after, truth")
    else:
        click.echo(f"nothing was gained ({change}): {output} is {start} as it was")
    if gain.interrupted:
        stopped_by(gain.interrupted)
