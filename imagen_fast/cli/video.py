"""`imagen-fast video`: a video in, a video out."""

from __future__ import annotations

import hashlib
import re
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from imagen_fast import catalogue, engine
from imagen_fast.cli.interrupt import Interruptible, leave
from imagen_fast.cli.options import (
    as_usage,
    check_engine,
    engine_options,
    finite,
    load_engine,
    model_and_scale,
    quiet_option,
    scale_option,
)
from imagen_fast.cli.streams import NOBODY_READS
from imagen_fast.cli.text import count, duration, shown
from imagen_fast.cli.video_progress import Frames
from imagen_fast.cores import cores
from imagen_fast.errors import VideoError
from imagen_fast.image.condition import harm
from imagen_fast.image.picture import Picture
from imagen_fast.model_file import read_header
from imagen_fast.recurrent import Recurrent
from imagen_fast.task import TASKS, UPSCALE, VIDEO, Task
from imagen_fast.tasks.laid_over import LaidOver
from imagen_fast.tasks.restore import Restorer
from imagen_fast.tasks.stylize import STYLIZE, Stylizer, style_of
from imagen_fast.video.codecs import encoding
from imagen_fast.video.frames import Source
from imagen_fast.video.job import Job, Wanted
from imagen_fast.video.parts import earlier_job
from imagen_fast.video.pipeline import Compute
from imagen_fast.video.pyav import pyav
from imagen_fast.video.reading import PIPE, Cut

_TASKS = ("upscale", "restore", "stylize")
# Frames that are computed at once: more models take more memory and finish no frame sooner.
_MOST_MODELS = 4


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> Fraction | None:
    """`90`, `1:30.5` or `0:01:30` → seconds."""
    if text is None:
        return None
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text):
        raise click.BadParameter(f"{text!r} is no time; expected seconds, M:SS or H:MM:SS.")
    seconds = Fraction(0)
    for part in text.split(":"):
        seconds = 60 * seconds + Fraction(part)
    return seconds


def _rate(_: click.Context, __: click.Parameter, text: str | None) -> Fraction | None:
    """`25`, `29.97` or `30000/1001` → frames a second."""
    if text is None:
        return None
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise click.BadParameter(f"{text!r} is no rate; expected such as 25 or 30000/1001.")
    return rate


@click.command("video")
@click.argument("source", metavar="INPUT")
@click.option("-o", "--output", required=True, help="The file, folder or pattern; - for a pipe.")
@click.option(
    "--task",
    "task_name",
    type=click.Choice(_TASKS),
    help="What is done to each frame. [the model's task, else upscale]",
)
@scale_option
@click.option(
    "-n",
    "--model",
    help="A name from `imagen-fast models`, or a model's file. [by the first frame]",
)
@click.option(
    "--style",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="PAINTING",
    help="Of --task stylize: a picture, or a style that was saved.",
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    callback=finite,
    help="From 0, frames as they are, to 1, all that the model changes. [default: 1]",
)
@click.option("--codec", help="h264, hevc, av1, vp9, prores, ffv1 or an encoder of FFmpeg's.")
@click.option("--crf", type=click.FloatRange(0, 100), help="Quality of the codec; lower is better.")
@click.option("--preset", help="Speed of the codec: slow, medium, fast, ... or a number.")
@click.option("--start", callback=_moment, metavar="TIME", help="From here: 90, 1:30, 0:01:30.5.")
@click.option("--end", callback=_moment, metavar="TIME", help="Up to here.")
@click.option(
    "--fps",
    callback=_rate,
    help="Frames a second of a folder or pattern of pictures. [default: 25]",
)
@engine_options
@click.option("--overwrite", is_flag=True, help="Make an output that exists anew.")
@quiet_option
def command(
    source: str,
    output: str,
    task_name: str | None,
    scale: str | None,
    model: str | None,
    style: Path | None,
    strength: float | None,
    codec: str | None,
    crf: float | None,
    preset: str | None,
    start: Fraction | None,
    end: Fraction | None,
    fps: Fraction | None,
    overwrite: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Enlarge or restore a video, frame by frame.

    INPUT is whatever FFmpeg reads; a folder or a pattern of pictures (frame_%05d.png, '*.jpg'); an
    animated GIF, WebP or PNG; or - for standard input. The output's name says what is written: mp4,
    mkv, mov, webm, ts, avi, gif, webp, apng, y4m, a folder, a pattern, or - for y4m on standard
    output.

    Sound, subtitles, chapters and metadata are copied; timestamps, rotation, colours, pixel aspect
    and 10 bits stay. Frames that equal the one before are not computed again.

    What is finished lies in OUTPUT.parts until all is: after Ctrl-C, a kill or a power cut the same
    command goes on from there. Exit code: 0, 1 for an error, 2 for wrong usage, 130 after Ctrl-C.
    """
    task = _task(task_name, model, options["backend"])
    name, factor = model_and_scale(task, model, scale, options["backend"])
    if (task is STYLIZE) != (style is not None):
        raise click.UsageError("--style PAINTING is for --task stylize, which needs one")
    if strength is not None and task.strength is None:
        raise click.UsageError("--strength is for --task restore and stylize")
    check_engine(name, **options)
    workers = options.pop("threads") or cores()
    with as_usage(VideoError):
        cut = Cut(start, end)
    wanted = Wanted(
        _path(source),
        _path(output),
        factor,
        cut,
        fps,
        codec,
        crf,
        preset,
        workers,
        overwrite,
    )
    pyav()  # or say how to get it
    with as_usage(VideoError):
        encoding(wanted.output, codec, crf, preset)
    warnings.simplefilter("ignore", engine.PrecisionWarning)
    began = time.perf_counter()
    progress: Frames | None = None

    def kept() -> None:
        if progress is not None:
            progress.interrupted()

    # The frames that are being computed take long and are lost; finished segments are on the disk.
    with Interruptible(kept), ExitStack() as stack:
        try:
            job = stack.enter_context(Job(wanted))
            progress = stack.enter_context(Frames(job, quiet))
            progress.warn(job.notes)
            told = len(job.notes)
            if task is UPSCALE and not catalogue.asked_for(model):
                name = _automatic(name, factor, job.source, progress.warn)
            options["tile"] = _tile(job, name, options)
            models = [stack.enter_context(one) for one in _engines(name, workers, options)]
            progress.loaded(models[0])
            facts = {**models[0].info(), "file": _digest(catalogue.resolve(name))}
            facts |= {"strength": strength, "style": _digest(style) if style else ""}
            through = [_compute(task, one, strength, style, job.source) for one in models]
            frames = job.run(through, facts, progress.advanced)
        except BrokenPipeError:
            leave(NOBODY_READS)
    progress.warn(job.notes[told:])
    if not quiet:
        look = job.form.look
        took = time.perf_counter() - began
        line = f"{look.width} × {look.height}, {count(frames, 'frame')} in {duration(took)}"
        click.echo(f"{shown(output)}: {line} ({progress.speed()})", err=output == PIPE)


def _task(name: str | None, model: str | None, backend: str) -> Task:
    """The task that is named, or else the model's; models for videos enlarge them."""
    if catalogue.asked_for(model):
        own = read_header(catalogue.resolve(model), backend).task
        if name is None or (own is VIDEO and name == UPSCALE.name):
            return own
    return TASKS[name or UPSCALE.name]


def _automatic(
    clean: str, scale: int, source: Source, say: Callable[[Sequence[str]], object]
) -> str:
    """The model for clean pictures, or that for others where the first frame is none."""
    real = catalogue.real(scale)
    if real is None or not (why := harm(source.first())):
        return clean
    say([f"the first frame: {why}: {real.stem} takes the video, not {Path(clean).stem}"])
    return str(real)


def _path(text: str) -> Path | None:
    return None if text == PIPE else Path(text)


def _engines(name: str, workers: int, options: dict[str, Any]) -> list[engine.Engine]:
    """Models that compute frames side by side, with `workers` threads together.

    A thread for each is faster than all of them on one frame: none waits for another, unless the
    model reads what it made of the frame before.
    """
    recurrent = read_header(catalogue.resolve(name), options["backend"]).graph.recurrent
    count = 1 if recurrent else min(workers, _MOST_MODELS)
    each = max(1, workers // count)
    first = load_engine(name, **options, threads=each)
    if first.info()["device"] != "cpu":
        return [first]
    return [first, *(load_engine(name, **options, threads=each) for _ in range(count - 1))]


def _tile(job: Job, name: str, options: dict[str, Any]) -> int:
    """Side of the tiles: that of an earlier run that goes on now, else by the free memory."""
    output = job.wanted.output
    if output is not None and not job.wanted.overwrite:
        facts = earlier_job(output).get("model", {})
        if isinstance(before := facts.get("tile"), int):
            return before
    with load_engine(name, **options, threads=1) as probe:
        return probe.tile_for(job.source.look.height, job.source.look.width)


def _compute(
    task: Task, model: engine.Engine, strength: float | None, style: Path | None, source: Source
) -> Compute:
    """What makes a result of a frame."""
    if model.graph.recurrent:
        return Recurrent(model)
    if task is UPSCALE:
        return model
    strength = task.strength if strength is None else strength
    assert strength is not None
    through: LaidOver = Restorer(model, strength, alone=False)
    if style is not None:
        read = style_of(model, [(style, 1.0)])
        through = Stylizer(model, read, strength, first=source.first())

    def compute(picture: Picture) -> Picture:
        rows = np.concatenate(list(through.stream(picture)))
        alpha = None if picture.alpha is None else np.ascontiguousarray(rows[..., 3])
        return Picture(rows[..., :3], alpha)

    return compute


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
