"""The command of a task: pictures in, pictures out. `imagen-fast upscale` is one of them."""

from __future__ import annotations

import copy
import math
import os
import re
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from imagen_fast import atomic, catalogue, engine
from imagen_fast.cli import left_out
from imagen_fast.cli.interrupt import Interruptible
from imagen_fast.cli.options import (
    a_file,
    check_engine,
    engine_options,
    finite,
    load_engine,
    max_pixels_option,
    model_and_scale,
    quiet_option,
    scale_option,
)
from imagen_fast.cli.pipes import piped
from imagen_fast.cli.progress import report
from imagen_fast.cli.text import columns, count, shown
from imagen_fast.errors import ImageError
from imagen_fast.image import background
from imagen_fast.image.write import FORMATS
from imagen_fast.task import TASKS, UPSCALE, Task
from imagen_fast.tasks import batch, discovery, files
from imagen_fast.tasks.automatic import automatic
from imagen_fast.tasks.batch import Streaming
from imagen_fast.tasks.files import Existing, Job
from imagen_fast.tasks.restore import RESTORE, Restorer, mask_of
from imagen_fast.tasks.style import SUFFIX
from imagen_fast.tasks.stylize import STYLIZE, Stylizer, style_of
from imagen_fast.tasks.whole_file import check_place


def _workers(text: str) -> tuple[int, int]:
    """`N` or `READ:WRITE`, two counts from 1 to 64 → (readers, writers).

    A function, because click's own base class of types can be annotated in new versions only.
    """
    parts = text.split(":")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() and 1 <= int(p) <= 64 for p in parts):
        raise click.BadParameter(
            f"{text!r} is neither N nor READ:WRITE (1 to 64 each). Pictures are computed "
            "one at a time; --threads says with how many threads."
        )
    return int(parts[0]), int(parts[-1])


def _color(_: click.Context, __: click.Parameter, text: str | None) -> background.RGB | None:
    """A colour by name or #rrggbb."""
    try:
        return None if text is None else background.color_of(text)
    except ImageError as error:
        raise click.BadParameter(str(error)) from error


def _weighed(
    _: click.Context, __: click.Parameter, texts: tuple[str, ...]
) -> list[tuple[str, float]]:
    """Each `NAME` or `NAME:WEIGHT` as a pair; a file's name may hold a colon itself."""
    found = []
    for text in texts:
        name, _colon, weight = text.rpartition(":")
        try:
            pair = (text, 1.0) if not name or Path(text).exists() else (name, float(weight))
        except ValueError:
            pair = text, 1.0
        if not 0 < pair[1] < math.inf:
            raise click.BadParameter(f"{text!r}: expected a weight above 0")
        found.append(pair)
    return found


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="A file for a single picture (NAME.png), - for standard output, else a folder, made if "
    "need be. [beside each picture]",
)
@scale_option
@click.option(
    "-n",
    "--model",
    help="A name from `imagen-fast models`, a .safetensors, an exported .onnx, somebody's network "
    "(.onnx, .param, .pth), or auto. [auto]",
)
@click.option(
    "-t",
    "--tile",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Side of a tile in input pixels; 0 chooses.",
)
@click.option(
    "--tile-overlap",
    type=click.IntRange(min=0),
    help="Input pixels that a tile reads beyond what it answers for. [32 or less]",
)
@click.option("--suffix", help="Ends the name of each result.")
@click.option("--ext", help="Format of the results: png, jpg, webp, avif, tiff or bmp. [png]")
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    help="Of JPEG, WebP and AVIF, 1 to 100; 100 makes WebP lossless. [95]",
)
@click.option(
    "--background",
    "behind",
    metavar="COLOR",
    callback=_color,
    help="Lay pictures with transparency on this colour: white, '#ffcc00'. "
    "[transparency stays; jpg and bmp keep none]",
)
@click.option(
    "--style",
    "styles",
    multiple=True,
    required=True,
    callback=_weighed,
    metavar="PAINTING[:WEIGHT]",
    help="The painting, or a style that was saved; several are mixed by their weights.",
)
@click.option("--keep-colors", "--keep-colours", is_flag=True, help="Take only lightness from it.")
@click.option(
    "--save-style",
    **a_file(SUFFIX),
    metavar="FILE",
    help="Write what was read in the paintings, to be used again: NAME.safetensors.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    callback=finite,
    show_default=True,
    help="From 0, the picture as it is, to 1, all that the model changes.",
)
@click.option(
    "--mask",
    type=click.Path(path_type=Path),
    help="A picture of the same size, white where holes or scratches are to be filled; "
    "without it they stay.",
)
@engine_options
@click.option(
    "-r", "--recursive", is_flag=True, help="Folders with all below them, as the same tree."
)
@click.option("--overwrite", is_flag=True, help="Write results that exist anew.")
@click.option("--resume", is_flag=True, help="Skip pictures whose result exists.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option(
    "-j",
    "--jobs",
    type=_workers,
    metavar="N|READ:WRITE",
    default="1:2",
    show_default=True,
    help="Pictures read ahead and pictures saved beside the computing: READ:WRITE, or N for both.",
)
@max_pixels_option
@quiet_option
@click.pass_context
@piped
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: Path | None,
    model: str | None,
    tile: int,
    tile_overlap: int | None,
    suffix: str | None,
    ext: str | None,
    quality: int | None,
    behind: background.RGB | None,
    recursive: bool,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    jobs: tuple[int, int],
    max_pixels: int,
    quiet: bool,
    scale: str | None = None,
    strength: float = 1.0,
    mask: Path | None = None,
    styles: Sequence[tuple[str, float]] = (),
    keep_colors: bool = False,
    save_style: Path | None = None,
    **options: Any,
) -> None:
    """{verb} pictures: files, folders and quoted glob patterns, one or many; - is standard input.

    photo.jpg becomes photo{suffix}.png. Folders and patterns give every picture in them except
    hidden ones and results of earlier runs (photo{suffix}.png beside a photo, and what lies in -o);
    what else is left out is named. A result that exists is an error unless --overwrite or --resume
    is given, also if it appears while its picture is computed; an input is never written to.

    a.jpg and a.png in one call would become one file, so they become a_jpg{suffix}.png and
    a_png{suffix}.png. To --resume these are other results than the a{suffix}.png of a call with one
    of them.

    One bad picture does not stop the others. Exit code: 0 if none failed, 1 if any did,
    2 for wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    if overwrite and resume:
        raise click.UsageError("--overwrite and --resume exclude each other")
    if suffix and "/" in suffix:
        raise click.UsageError(f"--suffix {suffix!r} must not contain '/'; folders go to -o")
    task = TASKS[str(ctx.command.name)]
    name, factor = model_and_scale(task, model, scale, options["backend"])
    options |= {"tile": tile, "overlap": tile_overlap}
    check_engine(name, **options)
    suffix = task.suffix_for(factor) if suffix is None else suffix
    found = discovery.discover(inputs, (*task.suffixes, suffix), recursive=recursive, output=output)
    is_file = output is not None and _names_a_file(output, [Path(name) for name in inputs])
    if output and is_file and len(found.pictures) > 1:
        many = count(len(found.pictures), "picture")
        raise click.UsageError(f"-o {shown(output)} names one file for {many}; give a folder")
    if mask and len(found.pictures) > 1:
        many = count(len(found.pictures), "picture")
        raise click.UsageError(f"--mask is for one picture; there are {many}")
    read = [mask, *(style for style, _ in styles)]
    if save_style:
        sources = [picture.source for picture in found.pictures]
        check_place(save_style, (SUFFIX,), overwrite or resume, read=[*read, *sources])
    existing: Existing = "overwrite" if overwrite else "skip" if resume else "fail"
    extension = _extension(ext, output if is_file else None)
    planned = files.jobs_for(
        found.pictures,
        output,
        suffix=suffix,
        ext=extension,
        existing=existing,
        output_is_file=is_file,
    )
    for job in planned:
        atomic.check_not_read(job.target, read, ImageError)
    notes = [] if quiet else left_out.lines(found.left_out)
    written = FORMATS.get(extension)  # no, where -o names what is read only
    if quality and written and not written.quality and not quiet:
        notes.append(f"--quality is of JPEG, WebP and AVIF, and changes nothing in {written.name}")
    for note in notes:
        click.echo(note, err=True)
    if dry_run:
        click.echo(_preview(planned))
        ctx.exit(1 if any(job.problem for job in planned) else 0)

    # The report says it of each picture, and by name.
    warnings.simplefilter("ignore", engine.PrecisionWarning)
    readers, writers = jobs
    for folder in sorted({Path(os.path.realpath(job.target)).parent for job in planned}):
        for leftover in atomic.remove_leftovers(folder):
            if not quiet:
                click.echo(f"removed {shown(leftover)}, left unfinished by a killed run", err=True)
    progress = report(planned, quiet, notes)

    def summarise() -> None:
        progress.__exit__()
        if not quiet:
            progress.summarise()

    with Interruptible(summarise) as ending, progress:
        try:
            if (todo := batch.settle(planned, progress)) or save_style:
                with ExitStack() as stack:
                    loaded = stack.enter_context(load_engine(name, **options))
                    progress.loaded(loaded)
                    through: Streaming = loaded
                    if task is RESTORE:
                        holes = mask_of(mask, max_pixels) if mask else None
                        through = Restorer(loaded, strength, holes)
                    elif task is STYLIZE:
                        style = style_of(loaded, styles, max_pixels)
                        if save_style:
                            style.save(save_style, overwrite=overwrite or resume)
                        through = Stylizer(loaded, style, strength, keep_colors)
                    elif task is UPSCALE and not catalogue.asked_for(model):
                        through = automatic(
                            loaded,
                            lambda path: stack.enter_context(load_engine(str(path), **options)),
                            (lambda *_: None) if quiet else progress.chose,
                        )
                    ending.patient = True
                    batch.run(
                        todo,
                        through,
                        progress,
                        readers=readers,
                        writers=writers,
                        quality=quality,
                        background=behind,
                        max_pixels=max_pixels,
                        color=not task.neutral,
                        heed=ending.heed,
                    )
        except KeyboardInterrupt:
            ending.end()
    summarise()
    ctx.exit(1 if progress.counts()["failed"] else 0)


# Options that not every task has a use for.
_STYLE = {"styles", "keep_colors", "save_style"}
_OF = {UPSCALE: {"scale"}, RESTORE: {"strength", "mask"}, STYLIZE: {"strength", *_STYLE}}


def command_for(task: Task) -> click.Command:
    """The command called as the task, with the options that it has a use for."""
    pages = str(command.help).format(
        verb=task.verb.capitalize(), suffix=task.suffix_for(task.scales[0])
    )
    others = set().union(*_OF.values()) - _OF[task]
    options = [copy.copy(option) for option in command.params if option.name not in others]
    for option in options:
        if option.name == "strength":
            option.default = task.strength
    return click.Command(task.name, callback=command.callback, params=options, help=pages)


def _names_a_file(output: Path, inputs: list[Path]) -> bool:
    """Whether `-o` is a file, not a folder; an error if it can hardly be meant as either."""
    ext = output.suffix.lower()
    if output.is_dir():
        return False
    if ext in discovery.PICTURE_EXTENSIONS | FORMATS.keys():
        return True
    known = ", ".join(FORMATS)
    if output.exists():
        raise click.UsageError(
            f"-o {shown(output)} is no folder, and no picture by its name; name a folder, or a "
            f"file that ends in one of {known}"
        )
    # results.v2 is a good name for a folder, but photo.heic is none for one picture's result.
    if re.fullmatch(r"\.[a-z][a-z0-9]{2,4}", ext) and len(inputs) == 1 and inputs[0].is_file():
        raise click.UsageError(
            f"-o {shown(output)}: {ext} cannot be written; expected one of {known}, or an existing "
            "folder"
        )
    return False


def _extension(ext: str | None, file: Path | None) -> str:
    """What results end in: `--ext`, or what the output file's name says, or .png."""
    wanted = None if ext is None else f".{ext.lower().removeprefix('.')}"
    if wanted is not None and wanted not in FORMATS:
        known = ", ".join(known.removeprefix(".") for known in FORMATS)
        raise click.UsageError(f"--ext {ext!r} cannot be written; expected one of {known}")
    if wanted and file and FORMATS[wanted] is not FORMATS.get(file.suffix.lower()):
        raise click.UsageError(f"--ext {ext} contradicts the output file {shown(file)}")
    return wanted or (file.suffix.lower() if file else ".png")


def _preview(jobs: list[Job]) -> str:
    """What would become of each job, as columns."""
    rows = [
        (
            shown(job.source),
            "fails" if job.problem else "is skipped" if job.skip else "→",
            shown(job.problem or job.target),
        )
        for job in jobs
    ]
    return columns(rows)
