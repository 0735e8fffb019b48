"""`imagen-fast eval`: PSNR and SSIM on a folder of pictures, beside bicubic or the input."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from imagen_fast import atomic, catalogue
from imagen_fast.cli import left_out
from imagen_fast.cli.interrupt import Interruptible
from imagen_fast.cli.options import (
    check_engine,
    engine_options,
    load_engine,
    max_pixels_option,
    model_and_scale,
    scale_option,
)
from imagen_fast.cli.text import short, shown
from imagen_fast.errors import ImageError
from imagen_fast.image.picture import Picture
from imagen_fast.image.write import check_output, write
from imagen_fast.model_file import read_header
from imagen_fast.task import UPSCALE
from imagen_fast.tasks.colors import Colors, measure
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import Score, evaluate, mean, page_of
from imagen_fast.tasks.protocols import PROTOCOLS, Protocol, Quality

BASELINES = ("bicubic", "input")
SHRUNK = Protocol(scale=0)


@click.command(name="eval")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    help="What is done to the pictures, and which they are unless FOLDER says it. [shrunk]",
)
@scale_option
@click.option(
    "-n",
    "--model",
    help="A name from `imagen-fast models`, a .safetensors, an exported .onnx, somebody's network "
    "(.onnx, .param, .pth), or `bicubic` (`input` where nothing is enlarged) to measure that "
    "alone. [a shipped one]",
)
@click.option(
    "--crops",
    type=click.Path(path_type=Path),
    help="Write a picture: where the baseline is worst in each, it, the model's and the truth.",
)
@click.option("--overwrite", is_flag=True, help="Replace a picture of --crops that exists.")
@engine_options
@max_pixels_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    folder: Path | None,
    protocol: str | None,
    scale: str | None,
    model: str | None,
    crops: Path | None,
    overwrite: bool,
    max_pixels: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure PSNR and SSIM on the pictures in FOLDER, beside bicubic or the input.

    As papers do: each picture is cropped to a multiple of the scale, shrunk by antialiased
    bicubic (as MATLAB does), rounded to 8 bits, enlarged and compared with the crop on Y of
    YCbCr (BT.601), without a border as wide as the scale. A picture that cannot be measured
    ends the command: a mean over the rest would be another figure. Results of earlier runs are
    left out, as `upscale` does.

    With --protocol something else is done to them: `set5` and `b100` as above; colour noise of 15,
    25 or 50 levels on CBSD68 (PSNR over RGB); a JPEG file of quality 10, 20 or 40 on LIVE1, grey;
    `blur`, a Gaussian of 15×15 and deviation 1.6, on B100; `scratches`, 2 to 4 pixels wide over 5 %
    of B100, PSNR in them alone, beside OpenCV's Telea if that is installed; `real-x4`: B100
    shrunk, noise of 5 levels, JPEG quality 60. Their pictures are below $IMAGEN_FAST_DATA/test.

    Below stand drawn pictures: how far 27 flat colours are off, and how much colour hatching gets
    that is neutral but for a level. The worst sample of each picture counts.
    """
    if crops:
        if model in BASELINES:
            raise click.UsageError(
                f"--crops shows what a model makes; name one in place of {model}"
            )
        check_output(crops)
        if os.path.lexists(crops) and not overwrite:
            raise ImageError(f"{crops} exists; name another file, or replace it with --overwrite")
    chosen = PROTOCOLS[protocol] if protocol else SHRUNK
    if chosen.scale and scale is not None and chosen.scale != int(scale):
        raise click.UsageError(f"the protocol {protocol} has scale {chosen.scale}; leave out -s")
    if model in BASELINES:
        factor = int(scale or UPSCALE.scales[0])
    else:
        if chosen.real and not catalogue.asked_for(model):
            model = str(catalogue.real(chosen.scale))
        if catalogue.asked_for(model):
            _check_task(model, chosen, options["backend"])
        said = scale or (str(chosen.scale) if chosen.scale else None)
        model, factor = model_and_scale(chosen.task, model, said, options["backend"])
        check_engine(model, **options)
    chosen = chosen.at(factor)
    name = chosen.baseline if model in BASELINES else model
    paths = _pictures(chosen.folder(folder), chosen if folder is None else None)
    if crops:
        atomic.check_not_read(crops, paths, ImageError)
    with Interruptible(), ExitStack() as stack:
        loaded = None
        if name != chosen.baseline:
            loaded = stack.enter_context(load_engine(name, **options))
        scores = evaluate(paths, chosen, loaded, max_pixels)
        if as_json:
            measured = list(scores)
            click.echo(_json(name, chosen, measured, measure(loaded) if loaded else None))
        else:
            measured = _table(Path(name).stem, chosen, [path.name for path in paths], scores)
            if loaded is not None:
                _faults(measure(loaded))
    if crops and (found := [score.crop for score in measured if score.crop is not None]):
        write(crops, Picture(page_of(found)), overwrite=overwrite)


def _check_task(model: str, protocol: Protocol, backend: str) -> None:
    """Raise click.UsageError if the protocol does not measure what the model is for."""
    header = read_header(catalogue.resolve(model), backend)
    if (task := header.task) is not protocol.task:
        others = ", ".join(name for name, other in PROTOCOLS.items() if other.task is task)
        raise click.UsageError(
            f"the model {model} {task.does(header.graph.scale)}: "
            + (
                f"choose a --protocol for that, {others}"
                if others
                else "nothing here measures that"
            )
        )


def _pictures(folder: Path, protocol: Protocol | None) -> list[Path]:
    """All by name, or those that count for a protocol. What is left out is said."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: there is no such folder")
    try:
        found = in_folder(folder)
    except OSError as error:
        raise ImageError(f"{folder}: {error.strerror or error}") from error
    for note in left_out.lines(found.left_out):
        click.echo(note, err=True)
    paths = [item.source for item in found.pictures if not protocol or protocol.counts(item.source)]
    if not paths:
        raise ImageError(f"{folder}: no picture in this folder")
    return paths


def _table(name: str, protocol: Protocol, files: list[str], scores: Iterable[Score]) -> list[Score]:
    """Print each picture's line as soon as it is measured, and the means."""
    names = {file: shown(file) for file in [*files, "mean"]}
    width = max(map(len, names.values()))
    against = name != protocol.baseline
    head = f"{f'x{protocol.scale}':{width}}  {protocol.baseline:>14}"
    click.echo(f"{head}  {short(shown(name), 14):>14}  {'gain':>6}" if against else head)
    units = f"{'':{width}}  {'PSNR':>6}  {'SSIM':>6}"
    click.echo(f"{units}  {'PSNR':>6}  {'SSIM':>6}  {'dB':>6}" if against else units)
    measured = []
    for score in scores:
        measured.append(score)
        click.echo(_line(names[score.name], width, score))
    click.echo(_line("mean", width, _mean(measured)))
    return measured


def _line(name: str, width: int, score: Score) -> str:
    line = f"{name:{width}}  {score.baseline.psnr:6.2f}  {score.baseline.ssim:6.4f}"
    if score.model is None:
        return line
    gain = score.model.psnr - score.baseline.psnr
    return f"{line}  {score.model.psnr:6.2f}  {score.model.ssim:6.4f}  {gain:+6.2f}"


def _faults(colors: Colors) -> None:
    """Print how far drawn pictures are off."""
    for name, verb, found in (
        ("flat colours", "off", colors.flat),
        ("hatching a level off neutral", "tinted", colors.hatching),
        ("pixel graphics, reduced again", "off", colors.pixels),
    ):
        click.echo(
            f"{name}: {verb} by up to {found.worst:.0f} of 255 levels ({found.where}), "
            f"{found.mean:.1f} on average"
        )


def _mean(scores: list[Score]) -> Score:
    models = [score.model for score in scores if score.model]
    return Score("mean", mean([s.baseline for s in scores]), mean(models) if models else None)


def _json(name: str, protocol: Protocol, scores: list[Score], colors: Colors | None) -> str:
    def qualities(score: Score) -> dict[str, Any]:
        model = score.model and _plain(score.model)
        return {protocol.baseline: _plain(score.baseline), "model": model}

    record = {
        "model": name,
        "scale": protocol.scale,
        "pictures": [{"name": score.name, **qualities(score)} for score in scores],
        "mean": qualities(_mean(scores)),
        "colors": colors and asdict(colors),
    }
    return json.dumps(record, indent=2)


def _plain(quality: Quality) -> dict[str, float | None]:
    """For JSON, which has no infinity: the PSNR of equal pictures is null."""
    psnr = round(quality.psnr, 4) if math.isfinite(quality.psnr) else None
    return {"psnr": psnr, "ssim": round(quality.ssim, 6)}
