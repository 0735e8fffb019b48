"""`imagen-fast train`: from a TOML configuration to a bundle of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagen_fast.backends.eager import without_torch
from imagen_fast.cli.options import a_device, finite, threads_option
from imagen_fast.cores import warn_of_more
from imagen_fast.errors import TrainingError

if TYPE_CHECKING:
    from imagen_fast.training.config import Config


@click.command(name="train")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--resume", is_flag=True, help="Go on from the output folder's checkpoint, if any.")
@click.option(
    "--extend",
    is_flag=True,
    help="Train on with a new schedule: from a finished run's end, or from shipped weights. With "
    "--resume, once the run is finished.",
)
@click.option("-o", "--output", help="Folder for checkpoint, curves and weights.")
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
    config: Path,
    resume: bool,
    extend: bool,
    pause_after: float | None,
    overrides: tuple[str, ...],
    **options: str | float | None,
) -> None:
    """Train a model as CONFIG (a TOML file) says.

    Ctrl-C saves and stops; run the same command with --resume to go on.

    \b
    imagen-fast train configs/sr-x4-tiny.toml
    imagen-fast train configs/sr-x4-tiny.toml --resume --set optimiser.lr=0.0005
    imagen-fast train configs/sr-x4-tiny.toml --extend --steps 20000
    """
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
        raise KeyboardInterrupt


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
