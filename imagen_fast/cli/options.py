"""Options that several commands share, so that they are spelled, explained and checked alike."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from imagen_fast import backends, catalogue, loading
from imagen_fast.backends.options import INSTRUCTION_SETS, MOST_THREADS, PRECISIONS, device_kind
from imagen_fast.engine import Engine
from imagen_fast.errors import BackendError, ImagenError, TilingError
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.model_file import read_header
from imagen_fast.task import UPSCALE, Task

F = TypeVar("F", bound=Callable[..., Any])

scale_option = click.option(
    "-s",
    "--scale",
    type=click.Choice([str(scale) for scale in sorted(UPSCALE.scales)]),
    metavar="[2|3|4]",  # of shipped models; others, named with -n, may have more
    help=f"How many times. [the model's, else {UPSCALE.scales[0]}]",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    metavar="N",
    help=f"CPU threads, up to {MOST_THREADS}. [all cores]",
)
max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=DEFAULT_MAX_PIXELS,
    show_default=True,
    help="Refuse larger inputs (decompression bombs).",
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


@contextmanager
def as_usage(*kinds: type[ImagenError]) -> Iterator[None]:
    """What errors of these kinds say is wrong usage, with its exit code."""
    try:
        yield
    except kinds as error:
        raise click.UsageError(str(error)) from error


def a_device(_: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """A callback: the name, which has to be one of a device if it is given."""
    if name is not None:
        with as_usage(BackendError):
            device_kind(name)
    return name


def finite(_: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """A callback: the number, which may be neither infinite nor NaN: those are within ranges."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a number that counts something.")
    return value


def names(_: click.Context, option: click.Parameter, text: str | None) -> tuple[str, ...]:
    """A callback: `a,b` → ("a", "b"); () if the option is not given."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def a_file(*suffixes: str) -> dict[str, Any]:
    """How an option is a file to be written: `click.option("-o", **a_file(".npz"))`."""

    def callback(_: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and not path.name.lower().endswith(suffixes):
            expected = " or ".join(suffixes)
            raise click.BadParameter(f"{path}: expected a name that ends in {expected}")
        return path

    return {"type": click.Path(path_type=Path), "callback": callback}


def two_numbers(between: str, expected: str) -> Callable[..., tuple[int, int] | None]:
    """A callback: `256x384` → (256, 384), for what stands `between` them."""

    def callback(
        _: click.Context, option: click.Parameter, text: str | None
    ) -> tuple[int, int] | None:
        if text is None:
            return None
        found = re.fullmatch(rf"([0-9]{{1,6}}){between}([0-9]{{1,6}})", text)
        if found is None:
            raise click.BadParameter(f"{text!r}; expected {expected}")
        return int(found[1]), int(found[2])

    return callback


def engine_options(function: F) -> F:
    """`--backend`, `--device`, `--precision`, `--threads` and `--isa`, as `load` takes them."""
    for option in (
        click.option(
            "--isa",
            type=click.Choice(list(INSTRUCTION_SETS)),
            callback=lambda context, option, name: name or "",
            metavar="NAME",
            help="Instruction set of the native engine: amx, avx512_bf16, avx512, avx2 or generic. "
            "[the best]",
        ),
        threads_option,
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            default="auto",
            show_default=True,
            help="auto: bf16 where that is much faster (AMX, AVX-512 of AMD, CUDA), else fp32.",
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            callback=a_device,
            help="auto, cpu, cuda or cuda:N.",
        ),
        click.option(
            "--backend",
            type=click.Choice(["auto", *backends.BACKENDS]),
            default="auto",
            show_default=True,
            metavar="NAME",
            help="See `imagen-fast doctor`.",
        ),
    ):
        function = option(function)
    return function


def model_and_scale(
    task: Task, model: str | None, scale: str | None, backend: str = "auto"
) -> tuple[str, int]:
    """What `-n` and `-s` mean together for a command of this task.

    Raises:
        WeightsError: unknown or damaged model, or no model for the scale.
        click.UsageError: the model is of another task or scale.
    """
    if scale is not None and int(scale) not in task.scales:
        raise click.UsageError(f"-s {scale}: {task.name} keeps sizes; leave it out")
    if not catalogue.asked_for(model):
        wanted = int(scale or task.scales[0])
        return str(catalogue.for_task(task, wanted)), wanted
    path = catalogue.resolve(model)
    header = read_header(path, backend)
    loading.check_makes_pictures(path, header.graph)
    own = header.graph.scale
    if header.task is not task:
        raise click.UsageError(
            f"the model {model} {header.task.does(own)}; its command is {header.task.name}"
        )
    if scale is not None and own != int(scale):
        raise click.UsageError(
            f"the model {model} {task.does(own)}, not {scale}; leave out -n or -s"
        )
    return model, own


def check_engine(model: str, **options: Any) -> None:
    """`loading.check`, which loads nothing: what is wrong is so even where there is no work."""
    with as_usage(BackendError, TilingError):
        loading.check(model, **options)


def load_engine(model: str, **options: Any) -> Engine:
    """`loading.load`. Sizes of tiles that cannot work here are wrong usage."""
    with as_usage(TilingError):
        return loading.load(model, **options)
