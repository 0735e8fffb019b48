"""`imagen-fast explain`: a page about what a model did with a picture."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from imagen_fast.cli import COMMANDS
from imagen_fast.cli.interrupt import all_or_nothing
from imagen_fast.cli.options import (
    a_file,
    check_engine,
    engine_options,
    max_pixels_option,
    quiet_option,
    two_numbers,
)
from imagen_fast.cli.saying import saying
from imagen_fast.cli.text import file_size, shown
from imagen_fast.tasks import explain
from imagen_fast.tasks.whole_file import check_place

_POINT = two_numbers(",", "column and row, such as 640,400")


@click.command(name="explain", short_help=COMMANDS["explain"])
@click.argument("picture", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", **a_file(*explain.SUFFIXES), help="The page. [PICTURE_explained.html]"
)
@click.option(
    "-n",
    "--model",
    default="sr-x4",
    show_default=True,
    help="A name from `imagen-fast models`, or a model file.",
)
@click.option(
    "--at", callback=_POINT, metavar="X,Y", help="Middle of the detail, in pixels. [the picture's]"
)
@click.option(
    "--side",
    type=click.IntRange(explain.LEAST_SIDE, explain.MOST_SIDE),
    default=explain.USUAL_SIDE,
    show_default=True,
    help="Of the detail, in pixels; less where its attention maps would fill more than 6 MB.",
)
@click.option(
    "--whole", is_flag=True, help="Reduce the whole picture to this side, in place of a detail."
)
@click.option(
    "--gradient/--no-gradient",
    "gradients",
    default=True,
    help="Compute what pixels do depend on, where PyTorch is installed. [yes]",
)
@engine_options
@click.option("--overwrite", is_flag=True, help="Replace a page that exists.")
@max_pixels_option
@quiet_option
def command(
    picture: Path,
    output: Path | None,
    model: str,
    at: tuple[int, int] | None,
    side: int,
    whole: bool,
    gradients: bool,
    overwrite: bool,
    max_pixels: int,
    quiet: bool,
    **options: Any,
) -> None:
    """Write a page that shows what a model did with PICTURE: one file, which needs a browser only.

    It shows what the model changed against plain enlargement, where each head of its attention
    looked, which pixels an output pixel can depend on and, where PyTorch is installed, does depend
    on. Of a picture larger than --side it shows a detail, computed on its own.

    \b
    imagen-fast explain photo.jpg
    imagen-fast explain photo.jpg -o page.html -n sr-x2 --at 640,400
    """
    if at is not None and whole:
        raise click.UsageError("--at and --whole exclude each other")
    target = output or picture.with_name(f"{picture.stem}_explained.html")
    check_place(target, explain.SUFFIXES, overwrite)
    check_engine(model, **options)
    from imagen_fast.image.read import read

    with all_or_nothing(), saying(quiet or not sys.stderr.isatty()) as say:
        page = explain.explain(
            model,
            read(picture, max_pixels=max_pixels),
            os.fsencode(picture.name).decode(errors="replace"),
            side=side,
            at=at,
            whole=whole,
            gradients=gradients,
            say=say,
            **options,
        )
        explain.write(target, page, overwrite=overwrite)
    if not quiet:
        size = file_size(target.stat().st_size)
        click.echo(f"{shown(target)}: {size}; open it in a browser")
