"""`imagen-fast train`: from a TOML configuration to a bundle of weights."""

from __future__ import annotations

import math
from pathlib import Path

import click


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
@click.option("--steps", type=int, help="Train for this many steps; with --extend, more.")
@click.option("--minutes", type=float, help="Train for this many minutes; with --extend, more.")
@click.option(
    "--pause-after",
    type=float,
    metavar="MINUTES",
    help="Save and stop after this long; --resume goes on with the schedule.",
)
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--processes", type=int, help="Processes (one a GPU) that share the batch.")
@click.option("--threads", type=int, help="CPU threads of a process.")
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
    from imagen_fast.training.config_file import load_config
    from imagen_fast.training.trainer import train

    given = {key: value for key, value in options.items() if value is not None}
    # Steps and minutes exclude each other: the one asked for here replaces the file's.
    if "steps" in given:
        given["minutes"] = 0.0
    elif "minutes" in given:
        given["steps"] = 0
    outcome = train(
        load_config(config, overrides, given),
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
