"""`imagen-fast import`: somebody's network as a model of ours."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import click

from imagen_fast import atomic, importers
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.cli import COMMANDS
from imagen_fast.cli.interrupt import all_or_nothing
from imagen_fast.cli.options import quiet_option
from imagen_fast.cli.text import file_size, shown
from imagen_fast.errors import WeightsError
from imagen_fast.model_file import read_header

SUFFIX = ".safetensors"


@click.command(name="import", short_help=COMMANDS["import"])
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file. [MODEL's name, ending in .safetensors, beside it]",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@quiet_option
def command(model: Path, output: Path | None, overwrite: bool, quiet: bool) -> None:
    """Write MODEL, a network that others published, as a model file.

    Its operations are folded and fused once, and what it expects of a picture is found and written
    into the file, which then runs without the packages that were needed to read MODEL. The other
    commands take MODEL itself with -n too.

    \b
    imagen-fast import network.onnx -o network.safetensors
    imagen-fast import realesr-animevideov3-x4.param
    imagen-fast import RealESRGAN_x4plus.pth
    imagen-fast upscale photo.jpg -n network.safetensors
    """
    output = output or _beside(model)
    if output.suffix.lower() != SUFFIX:
        raise click.UsageError(f"{output} does not end in {SUFFIX}")
    atomic.check_not_read(output, [model], WeightsError)
    if output.exists() and not overwrite:
        raise WeightsError(f"{shown(output)} exists; --overwrite replaces it")
    if _is_ours(model):
        raise click.UsageError(f"{shown(model)} is no network of others; -n takes it as it is")
    with all_or_nothing():
        bundle = importers.load(model)
        save_bundle(bundle, output, replace=overwrite)
    if not quiet:
        click.echo(f"{shown(output)}: {file_size(output.stat().st_size)}")
        for line in facts(bundle):
            click.echo(line)


def _beside(model: Path) -> Path:
    named = model.stem if model.suffix.lower() != SUFFIX else f"{model.stem}_imported"
    return model.with_name(named + SUFFIX)


def _is_ours(model: Path) -> bool:
    """Whether this project wrote the file."""
    if model.suffix.lower() not in (importers.ONNX, SUFFIX):
        return False
    with suppress(WeightsError):
        return not importers.is_foreign(model) and bool(read_header(model))
    return False


def facts(bundle: Bundle) -> list[str]:
    """What the network is and expects, in sentences."""
    found = json.loads(bundle.metadata["imported"])
    count = sum(x.size for x in bundle.tensors.values())
    lines = [
        f"{bundle.task.does(bundle.graph.scale)}; {len(bundle.graph.operations)} operations, "
        f"{count:,} parameters, of {found['format']}",
    ]
    if found["full"] != 1:
        lines.append(f"it computes with numbers from 0 to {found['full']}")
    if found["margin"]:
        lines.append(f"it takes {found['margin']} pixels from each side, which are put around it")
    if found["multiple"] > 1:
        lines.append(
            f"it sees sides that are multiples of {found['multiple']}, completed by mirrors"
        )
    if bundle.exact_overlap is None:
        lines.append("it computes means over the whole picture, so tiles change its result")
    return lines
