"""`imagen-fast eval`: PSNR and SSIM on a folder of pictures, beside bicubic."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from imagen_fast.cli import left_out
from imagen_fast.cli.options import (
    check_engine,
    engine_options,
    load_engine,
    model_and_scale,
    scale_option,
)
from imagen_fast.cli.text import short, shown
from imagen_fast.errors import ImageError
from imagen_fast.task import UPSCALE
from imagen_fast.tasks.colors import Colors, measure
from imagen_fast.tasks.discovery import in_folder
from imagen_fast.tasks.evaluate import Quality, Score, evaluate, mean

BASELINE = "bicubic"


@click.command(name="eval")
@click.argument("folder", type=click.Path(path_type=Path))
@scale_option
@click.option(
    "-n",
    "--model",
    help="A name from `imagen-fast models`, a .safetensors or an exported .onnx, or "
    "`bicubic` to measure that alone. [the shipped one for the scale]",
)
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    folder: Path,
    scale: str | None,
    model: str | None,
    backend: str,
    device: str,
    precision: str,
    threads: int | None,
    isa: str,
    as_json: bool,
) -> None:
    """Measure PSNR and SSIM on the pictures in FOLDER, beside bicubic.

    As papers do: each picture is cropped to a multiple of the scale, shrunk by antialiased
    bicubic (as MATLAB does), rounded to 8 bits, enlarged and compared with the crop on Y of
    YCbCr (BT.601), without a border as wide as the scale. A picture that cannot be measured
    ends the command: a mean over the rest would be another figure. Results of earlier runs are
    left out, as `upscale` does.

    Below stand drawn pictures: how far 27 flat colours are off, and how much colour hatching gets
    that is neutral but for a level. The worst sample of each picture counts.
    """
    options: dict[str, Any] = {
        **{"backend": backend, "device": device, "precision": precision, "threads": threads},
        "isa": isa,
    }
    if model == BASELINE:
        name, factor = BASELINE, int(scale or UPSCALE.scales[0])
    else:
        name, factor = model_and_scale(UPSCALE, model, scale)
        check_engine(name, **options)
    try:
        found = in_folder(folder)
    except OSError as error:
        raise ImageError(f"{folder}: {error.strerror or error}") from error
    for note in left_out.lines(found.left_out):
        click.echo(note, err=True)
    paths = [item.source for item in found.pictures]
    if not paths:
        raise ImageError(f"{folder}: no picture in this folder")
    opened: Any = nullcontext() if name == BASELINE else load_engine(name, **options)
    with opened as loaded:
        scores = evaluate(paths, factor, loaded)
        if as_json:
            click.echo(_json(name, factor, list(scores), loaded and measure(loaded)))
            return
        _table(Path(name).stem, factor, [path.name for path in paths], scores)
        if loaded is not None:
            _faults(measure(loaded))


def _table(name: str, scale: int, files: list[str], scores: Iterable[Score]) -> None:
    """Print each picture's line as soon as it is measured, and the means."""
    names = {file: shown(file) for file in [*files, "mean"]}
    width = max(map(len, names.values()))
    against = name != BASELINE
    head = f"{f'x{scale}':{width}}  {'bicubic':>14}"
    click.echo(f"{head}  {short(shown(name), 14):>14}  {'gain':>6}" if against else head)
    units = f"{'':{width}}  {'PSNR':>6}  {'SSIM':>6}"
    click.echo(f"{units}  {'PSNR':>6}  {'SSIM':>6}  {'dB':>6}" if against else units)
    measured = []
    for score in scores:
        measured.append(score)
        click.echo(_line(names[score.name], width, score))
    click.echo(_line("mean", width, _mean(measured)))


def _line(name: str, width: int, score: Score) -> str:
    line = f"{name:{width}}  {score.bicubic.psnr:6.2f}  {score.bicubic.ssim:6.4f}"
    if score.model is None:
        return line
    gain = score.model.psnr - score.bicubic.psnr
    return f"{line}  {score.model.psnr:6.2f}  {score.model.ssim:6.4f}  {gain:+6.2f}"


def _faults(colors: Colors) -> None:
    """Print how far drawn pictures are off."""
    for name, verb, found in (
        ("flat colours", "off", colors.flat),
        ("neutral hatching", "tinted", colors.hatching),
    ):
        click.echo(
            f"{name}: {verb} by up to {found.worst:.0f} of 255 levels ({found.where}), "
            f"{found.mean:.1f} on average"
        )


def _mean(scores: list[Score]) -> Score:
    models = [score.model for score in scores if score.model]
    return Score("mean", mean([s.bicubic for s in scores]), mean(models) if models else None)


def _json(name: str, scale: int, scores: list[Score], colors: Colors | None) -> str:
    total = _mean(scores)
    record = {
        "model": name,
        "scale": scale,
        "pictures": [{"name": score.name, **_qualities(score)} for score in scores],
        "mean": _qualities(total),
        "colors": colors and asdict(colors),
    }
    return json.dumps(record, indent=2)


def _qualities(score: Score) -> dict[str, Any]:
    return {"bicubic": _plain(score.bicubic), "model": score.model and _plain(score.model)}


def _plain(quality: Quality) -> dict[str, float | None]:
    """For JSON, which has no infinity: the PSNR of equal pictures is null."""
    psnr = round(quality.psnr, 4) if math.isfinite(quality.psnr) else None
    return {"psnr": psnr, "ssim": round(quality.ssim, 6)}
