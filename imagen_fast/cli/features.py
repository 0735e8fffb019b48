"""`imagen-fast features`: what the encoder makes of pictures, as arrays in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imagen_fast.cli import COMMANDS, left_out
from imagen_fast.cli.interrupt import all_or_nothing
from imagen_fast.cli.options import (
    a_file,
    check_engine,
    engine_options,
    load_engine,
    max_pixels_option,
    quiet_option,
)
from imagen_fast.cli.text import count, file_size, shown
from imagen_fast.tasks import features
from imagen_fast.tasks.discovery import discover
from imagen_fast.tasks.whole_file import check_place


@click.command(name="features", short_help=COMMANDS["features"])
@click.argument("inputs", nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "-o",
    "--output",
    **a_file(*features.SUFFIXES),
    required=True,
    help="The file: .npz or .safetensors.",
)
@click.option(
    "-n",
    "--model",
    default=features.MODEL,
    show_default=True,
    help="A name from `imagen-fast models`, or a model file.",
)
@click.option(
    "--level",
    "levels",
    type=click.IntRange(min=0),
    multiple=True,
    metavar="N",
    help="Only this level, the finest being 0; may be given again. [all]",
)
@click.option(
    "--pool", is_flag=True, help="Means and deviations of each channel in place of the maps."
)
@engine_options
@click.option("-r", "--recursive", is_flag=True, help="Folders with all below them.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@max_pixels_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: Path,
    model: str,
    levels: tuple[int, ...],
    pool: bool,
    recursive: bool,
    overwrite: bool,
    max_pixels: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Write what the encoder makes of pictures (files, folders, patterns) as arrays of float32.

    Of each picture and level L an array NAME/features.L of shape (H/2^L, W/2^L, channels), sides
    rounded up; with --pool one array NAME/pooled of shape (2 · channels of all levels): of each
    level the means and then the standard deviations over its pixels. real-x2 and real-x4
    have two levels of 32 and 64 channels, restore three, the sr models one.

    One bad picture does not stop the others; it is named, and the exit code is 1. Where none can
    be read, nothing is written.

    \b
    imagen-fast features photo.jpg -o photo.npz
    imagen-fast features photos/ -o photos.safetensors --pool
    """
    check_place(output, features.SUFFIXES, overwrite)
    check_engine(model, **options)
    found = discover(inputs, (), recursive=recursive, output=output)
    features.keys(found.pictures)
    for note in () if quiet else left_out.lines(found.left_out):
        click.echo(note, err=True)
    with all_or_nothing(), load_engine(model, **options) as engine:
        written = features.write(
            engine,
            found.pictures,
            output,
            levels=sorted(set(levels)) or None,
            pool=pool,
            overwrite=overwrite,
            max_pixels=max_pixels,
            done=lambda path: None if quiet else click.echo(shown(path), err=True),
            failed=lambda reason: click.echo(f"error: {shown(reason)}", err=True),
        )
    if not quiet:
        size = file_size(output.stat().st_size)
        click.echo(f"{shown(output)}: {count(written, 'picture')}, {size}")
    ctx.exit(0 if written == len(found.pictures) else 1)
