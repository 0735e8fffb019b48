"""`imagen-fast export`: a model as a file of another runtime's."""

from __future__ import annotations

import math
import re
from pathlib import Path

import click

from imagen_fast.cli import COMMANDS
from imagen_fast.cli.interrupt import all_or_nothing
from imagen_fast.cli.options import as_usage, names, quiet_option, two_numbers
from imagen_fast.cli.saying import saying
from imagen_fast.cli.text import file_size, shown
from imagen_fast.errors import ExportError
from imagen_fast.export.formats import FORMATS, find
from imagen_fast.export.options import ExportOptions
from imagen_fast.export.verify import Verification
from imagen_fast.tasks import export

_SHAPE = two_numbers("x", "height and width, such as 256x384")


def _architectures(_: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """`sm_80,sm_90` → (80, 90)."""
    if text is None:
        return ()
    found = [re.fullmatch(r"(?:sm_)?(\d{2,3})a?", part.strip()) for part in text.split(",")]
    if not all(found):
        raise click.BadParameter(f"{text!r}; expected architectures, such as sm_80,sm_90")
    return tuple(int(x[1]) for x in found if x)


@click.command(name="export", short_help=COMMANDS["export"])
@click.argument("model")
@click.option(
    "--format", "kind", type=click.Choice(list(FORMATS)), default="onnx", show_default=True
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The file. [named after the model]"
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    help="Of weights and features; bf16 is for bundles. [fp32; of bundles bf16]",
)
@click.option(
    "--shape", callback=_SHAPE, metavar="HxW", help="Fix height and width of the input, in pixels."
)
@click.option("--dynamic", is_flag=True, help="Leave height and width open. [unless --shape]")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Fix how many pictures it takes at once. [open; 1 with --shape]",
)
@click.option(
    "--opset",
    type=click.Choice(["20", "23"]),
    default="20",
    show_default=True,
    help="Of ONNX; 23 has the operator Attention.",
)
@click.option(
    "--io",
    type=click.Choice(["float", "uint8"]),
    default="float",
    show_default=True,
    help="float: NCHW from 0 to 1; uint8: NHWC, all between bytes and network inside.",
)
@click.option(
    "--largest",
    callback=_SHAPE,
    metavar="HxW",
    help="tensorrt: largest input, of either orientation. [1024x1024]",
)
@click.option("--refit", is_flag=True, help="tensorrt: let the engine take other weights later.")
@click.option(
    "--arch",
    callback=_architectures,
    metavar="sm_80,sm_90",
    help="bundle: the GPUs' architectures. [sm_80,sm_90,sm_100,sm_120]",
)
@click.option(
    "--inputs",
    callback=names,
    metavar="NAME,NAME",
    help="Optional inputs that the file takes as well. [none]",
)
@click.option(
    "--outputs",
    callback=names,
    metavar="NAME,NAME",
    help="Outputs that the file gives. [the first one]",
)
@click.option(
    "--verify/--no-verify",
    "verified",
    default=True,
    show_default=True,
    help="Compare its output with the reference's on a photograph.",
)
@click.option(
    "--verify-picture",
    "picture",
    type=click.Path(path_type=Path),
    help="On this photograph. [one that comes with the package]",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@quiet_option
def command(
    model: str,
    kind: str,
    output: Path | None,
    precision: str | None,
    shape: tuple[int, int] | None,
    dynamic: bool,
    batch: int | None,
    opset: str,
    io: str,
    largest: tuple[int, int] | None,
    refit: bool,
    arch: tuple[int, ...],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    verified: bool,
    picture: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Write MODEL, a name from `imagen-fast models` or a bundle, as a file for another runtime.

    The file appears, with a manifest in JSON beside it, once its output agrees with the reference's
    on a photograph: 80 dB or more in fp32, 50 dB in 16 bits. Whatever fails leaves nothing.

    \b
    imagen-fast export sr-x4 -o sr-x4.onnx
    imagen-fast export sr-x4 -o sr-x4.onnx --precision fp16 --io uint8
    imagen-fast export sr-x4 -o sr-x4.onnx --shape 256x256 --opset 23
    imagen-fast export sr-x4 -o sr-x4.engine --format tensorrt --precision fp16
    imagen-fast export sr-x4 -o sr-x4.cuda.safetensors --format bundle --arch sm_80,sm_90
    """
    if dynamic and shape:
        raise click.UsageError("--dynamic and --shape exclude each other")
    if picture and not verified:
        raise click.UsageError("--verify-picture and --no-verify exclude each other")
    fixed = 1 if shape and batch is None else batch
    precision = precision or find(kind).precision
    options = ExportOptions(
        *(precision, shape, fixed, int(opset), io, largest, refit, arch, inputs, outputs)
    )
    with as_usage(ExportError):
        export.check(model, kind, output, options)
    with all_or_nothing(), saying(quiet) as say:
        made = export.export(
            *(model, kind, output, options),
            verified=verified,
            picture=picture,
            overwrite=overwrite,
            say=say,
        )
    if quiet:
        return
    size = "any size" if shape is None else f"{shape[0]}x{shape[1]}"
    click.echo(f"{shown(made.path)}: {file_size(made.size)}, {kind}, {precision}, {size}")
    click.echo(f"{shown(made.manifest)}: what made it, and from what")
    click.echo(_accuracy(made.verification))


def _accuracy(verification: Verification | None) -> str:
    if verification is None:
        return "NOT verified: its output was not compared with the reference's (--no-verify)"
    worst = verification.worst
    seen = f"{worst:.1f} dB or more" if math.isfinite(worst) else "equal to the last bit"
    inputs = " and ".join(verification.psnr)
    return (
        f"verified: {seen} to {verification.reference}, on {verification.picture} ({inputs}), "
        f"by {verification.runtime}"
    )
