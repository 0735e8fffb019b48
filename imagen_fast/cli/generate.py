"""`imagen-fast generate`: pictures from a seed, or a model that makes more like a folder's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imagen_fast.backends.eager import without_torch
from imagen_fast.cli.interrupt import Interruptible, stopped_by
from imagen_fast.cli.options import as_usage, engine_options, finite, quiet_option, two_numbers
from imagen_fast.cli.text import count as counted
from imagen_fast.cli.text import shown
from imagen_fast.errors import BackendError, ImageError, TrainingError

LIKE_MINUTES = 10.0
MOST = 100_000  # pictures of one call
_SIZE = two_numbers("[x×]", "WIDTHxHEIGHT, such as 512x256")


@click.command(name="generate")
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, MOST),
    default=1,
    show_default=True,
    help="How many pictures.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**64 - 1),
    default=0,
    show_default=True,
    help="The same seed gives the same pictures.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A folder, made if need be, or the name of the only file that there will be.",
)
@click.option(
    "--model",
    help="A generator's file, or a name from `imagen-fast models`. [texture, or what --like made]",
)
@click.option(
    "--size", callback=_SIZE, metavar="WxH", help="Of textures: any. [what the model learnt]"
)
@click.option("--seamless", is_flag=True, help="Textures that can be laid beside themselves.")
@click.option(
    "--truncation",
    type=click.FloatRange(0, 10),
    callback=finite,
    default=1.0,
    show_default=True,
    help="Less than 1: less variety, nearer to the mean.",
)
@click.option("--grid", is_flag=True, help="One sheet of all pictures in place of a file each.")
@click.option("--levels", is_flag=True, help="Beside each picture those of the coarser levels.")
@click.option(
    "--interpolate",
    is_flag=True,
    help="The way from picture to picture: a strip, or an animation if -o ends in .gif.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option("--resume", is_flag=True, help="Skip pictures whose file exists.")
@click.option(
    "--like",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="First train a model on these pictures, 20 to some hundred; needs PyTorch.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    callback=finite,
    help=f"With --like: how long to train. [{LIKE_MINUTES:g}]",
)
@click.option(
    "--texture",
    is_flag=True,
    help="With --like: the pictures are textures, of which any part will do.",
)
@engine_options
@quiet_option
def command(
    count: int,
    seed: int,
    output: Path,
    model: str | None,
    size: tuple[int, int] | None,
    seamless: bool,
    truncation: float,
    grid: bool,
    levels: bool,
    interpolate: bool,
    overwrite: bool,
    resume: bool,
    like: Path | None,
    minutes: float | None,
    texture: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Make pictures from nothing but a seed.

    With --like FOLDER a model is trained on the pictures there and written to the folder OUTPUT,
    with sheets of samples on the way in OUTPUT/samples. The longer, the better: a call with the
    same OUTPUT goes on until --minutes are over in all. --model takes the file.

    Pictures are computed in fp32 unless --precision says otherwise, so a seed is the same picture
    everywhere.

    \b
    imagen-fast generate -n 64 --seed 7 -o textures/
    imagen-fast generate --seamless --size 1024x1024 -o tile.png
    imagen-fast generate -n 5 --interpolate -o way.gif
    imagen-fast generate --like photos/ --minutes 10 -n 64 -o more/
    imagen-fast generate --model more/photos-generator.safetensors -n 64 -o again/
    """
    if interpolate and (grid or levels or count < 2):
        raise click.UsageError("--interpolate is for -n 2 or more, without --grid and --levels")
    if overwrite and resume:
        raise click.UsageError("--overwrite and --resume exclude each other")
    if resume and (grid or interpolate):
        raise click.UsageError("--resume is for a file each, without --grid and --interpolate")
    if like is None and (minutes is not None or texture):
        raise click.UsageError("--minutes and --texture are for --like FOLDER")
    if like is not None and model is not None:
        raise click.UsageError("--like makes a model; leave out --model")
    from imagen_fast.tasks import generated
    from imagen_fast.tasks.generate import MODEL, Generator

    wanted = generated.Wanted(count, seed, size and size[::-1], seamless, truncation)
    name = like.resolve().name if like else Path(model or MODEL).stem
    with as_usage(ImageError):
        files = generated.output_files(output, name, wanted, grid, levels, interpolate)
    if not (overwrite or resume) and (there := [path for path in files.paths if path.exists()]):
        raise ImageError(f"{there[0]} exists; choose another -o, or --overwrite")
    with Interruptible():
        if like is not None:
            model = str(_learnt(like, output, minutes or LIKE_MINUTES, texture, quiet, options))
        if options["precision"] == "auto":  # a seed is the same picture on every machine
            options["precision"] = "fp32"
        with Generator(model or MODEL, **options) as generator:
            made = generated.write(generator, files, wanted, overwrite=overwrite, resume=resume)
    if quiet:
        return
    one = shown(files.paths[0] if len(files.paths) == 1 else output)
    earlier = f", {count - made} of them there already" if made < count else ""
    click.echo(f"{counted(count, 'picture')}{earlier}: {one}")


def _learnt(
    folder: Path,
    output: Path,
    minutes: float,
    texture: bool,
    quiet: bool,
    options: dict[str, Any],
) -> Path:
    """Trains on the folder; the model's file."""
    if output.suffix:
        raise click.UsageError(f"-o {output}: expected a folder, for the model and its samples")
    if missing := without_torch("train"):
        raise TrainingError(missing)
    from imagen_fast.training.imitation import imitate

    with as_usage(BackendError):
        run = {key: options[key] for key in ("device", "threads") if options[key] is not None}
    outcome = imitate(folder, output, texture, {**run, "minutes": minutes}, quiet=quiet)
    if outcome.interrupted:
        click.echo(f"stopped at step {outcome.step}; the same command goes on", err=True)
        stopped_by(outcome.interrupted)
    return outcome.bundle
