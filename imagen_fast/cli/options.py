"""Options that several commands share, so that they are spelled, explained and checked alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from imagen_fast import catalogue
from imagen_fast.errors import WeightsError
from imagen_fast.model_file import read_header

F = TypeVar("F", bound=Callable[..., Any])

_SHIPPED = ", ".join(map(str, catalogue.scales())) or "none"
scale_option = click.option(
    "-s",
    "--scale",
    type=click.Choice(["2", "3", "4"]),
    help=f"How many times; shipped models: {_SHIPPED}. [the model's, else 4]",
)


def engine_options(function: F) -> F:
    """`--backend`, `--device`, `--precision`, `--threads` and `--isa`, as `load` takes them."""
    for option in (
        click.option(
            "--isa",
            default="",
            metavar="NAME",
            help="Instruction set of the native engine: amx, avx512, avx2 or generic. [the best]",
        ),
        click.option(
            "--threads", type=click.IntRange(min=1), help="CPU threads of the engine. [all cores]"
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
            default="auto",
            show_default=True,
            help="auto: bf16 where that is much faster (AMX, AVX-512 of AMD, CUDA), else fp32.",
        ),
        click.option(
            "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."
        ),
        click.option(
            "--backend", default="auto", show_default=True, help="See `imagen-fast doctor`."
        ),
    ):
        function = option(function)
    return function


def model_and_scale(model: str | None, scale: str | None) -> tuple[str, int]:
    """What `-n` and `-s` mean together: the model, and how many times it enlarges.

    Raises:
        WeightsError: unknown or damaged model, no model for the scale, or a model of another.
    """
    if model is None:
        wanted = int(scale or 4)
        return catalogue.for_scale(wanted), wanted
    own = read_header(catalogue.resolve(model)).graph.scale
    if scale is not None and own != int(scale):
        raise WeightsError(
            f"the model {model} enlarges {own} times, not {scale}; leave out -n or -s"
        )
    return model, own
