"""A model's file becomes an engine: name, backend and sizes are checked, then it is loaded."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from imagen_fast import backends, catalogue, tile_sizes
from imagen_fast.backends import Backend
from imagen_fast.bundle import Bundle
from imagen_fast.cores import warn_of_more
from imagen_fast.engine import Engine
from imagen_fast.errors import WeightsError
from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed
from imagen_fast.model_file import load_model, read_header


def load(
    name_or_path: str | os.PathLike[str],
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    tile: int = 0,
    overlap: int | None = None,
    isa: str = "",
) -> Engine:
    """A model, ready to run.

    Args:
        name_or_path: a shipped model's name (`sr-x4`, `sr-x4-tiny`), a bundle's path, or that of
            somebody's network (docs/networks.md).
        backend: a name of `imagen_fast.backends.BACKENDS`, or "auto".
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto", "fp32", "bf16" or "fp16".
        threads: CPU threads, 1 to 1024; None leaves the choice to the backend. More than there
            are cores is a RuntimeWarning.
        tile: side of a tile in input pixels, overlap included; 0 chooses it by the memory.
        overlap: input pixels that a tile reads beyond what it answers for, on each side; None
            for the default. With `Engine.exact_overlap` tiles change nothing.
        isa: CPU instruction set of the native engine: "amx", "avx512_bf16", "avx512",
            "avx2" or "generic"; "" for the variable IMAGEN_FAST_ISA or else the best.

    Where "auto" falls back on PyTorch because the native engine was not built, that is a
    RuntimeWarning too.

    Raises:
        WeightsError: no such model, its file is damaged, or it is not for pictures of three
            channels.
        BackendError: backend, device or precision is unknown or not to be had here, or
            (OperationError) has no kernel for an operation of the network.
        TilingError: a size is no int or negative, or the tile has no room for its overlaps, or
            memory none for such a tile.
    """
    made, path, why = _made(name_or_path, backend, device, precision, threads, isa, tile, overlap)
    try:
        return Engine(made, model=path.stem, why=why, tile=tile, overlap=overlap)
    except BaseException:
        made.close()
        raise


def load_generator(
    name_or_path: str | os.PathLike[str],
    backend: str = "auto",
    device: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
    isa: str = "",
) -> Backend:
    """A model that makes pictures from a latent, on a backend. Arguments as those of `load`.

    In fp32 unless asked otherwise, so that a seed is the same picture on every machine.

    Raises:
        WeightsError, BackendError: as `load`; a model that generates nothing is a WeightsError.
    """
    return _made(name_or_path, backend, device, precision, threads, isa, generates=True)[0]


def _made(
    name_or_path: str | os.PathLike[str],
    backend: str,
    device: str,
    precision: str,
    threads: int | None,
    isa: str,
    tile: int = 0,
    overlap: int | None = None,
    *,
    generates: bool = False,
) -> tuple[Backend, Path, str]:
    """The backend, the model's file, and why it is this backend."""
    backends.check(backend, device, precision, threads, isa)
    path = catalogue.resolve(name_or_path)
    tried = backends.candidates(backend, device)
    bundle = load_model(path, backend)
    if generates:
        _check_generates(path, bundle)
    else:
        _check_pictures(path, bundle.graph)
        tile_sizes.check(bundle, tile, overlap)
    made, why = backends.make(
        bundle, tried, device=device, precision=precision, threads=threads, isa=isa
    )
    if made.device == "cpu":
        warn_of_more(threads)
        lacking = backend == "auto" and made.name == "eager"
        if missing := lacking and backends.backend_class("native").missing():
            warnings.warn(
                f"{missing}. Until then PyTorch computes, several times slower",
                RuntimeWarning,
                stacklevel=3,
            )
    return made, path, why


def check(
    name_or_path: str | os.PathLike[str],
    backend: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    tile: int = 0,
    overlap: int | None = None,
    isa: str = "",
) -> None:
    """Raise as `load` does for options that can be had together on no machine. Loads nothing."""
    backends.check(backend, device, precision, threads, isa)
    tile_sizes.check(read_header(catalogue.resolve(name_or_path), backend), tile, overlap)


def check_alone(path: Path, bundle: Bundle) -> None:
    """Raise WeightsError if the model's picture needs more than its first input."""
    graph = bundle.graph
    first, output = next(iter(graph.inputs)), next(iter(graph.outputs))
    more = [name for name in needed(graph.given([first]), [output]).inputs if name != first]
    if more:
        raise WeightsError(
            f"{path}: it needs {' and '.join(more)} beside a picture; its command is "
            f"{bundle.task.name}"
        )


def _check_generates(path: Path, bundle: Bundle) -> None:
    """Raise WeightsError if the model makes no RGB pictures of latents."""
    graph = bundle.graph
    output = next(iter(graph.outputs.values()))
    if next(iter(graph.inputs)) != "latent" or not (output.picture and graph.scale):
        raise WeightsError(
            f"{path}: it does not generate, it {bundle.task.verb}s pictures; its command is "
            f"{bundle.task.name}"
        )
    if (channels := graph.values[output.value].channels) != 3:
        raise WeightsError(f"{path}: its pictures have {channels} channels; expected 3, RGB")


def _check_pictures(path: Path, graph: Graph) -> None:
    """Raise WeightsError if the first input and output are no pictures of three channels."""
    if next(iter(graph.inputs)) == "latent":
        raise WeightsError(
            f"{path}: it makes pictures of random numbers, not of pictures; use it with "
            "`imagen-fast generate --model` or `imagen_fast.generate`"
        )
    check_makes_pictures(path, graph)
    given, output = next(iter(graph.inputs.values())), next(iter(graph.outputs.values()))
    others = {given.channels, graph.values[output.value].channels} - {3}
    if others:
        raise WeightsError(
            f"{path}: its pictures have {max(others)} channels; expected 3, since pictures go in "
            "as RGB"
        )


def check_makes_pictures(path: Path, graph: Graph) -> None:
    """Raise WeightsError if the first input or output is no picture, unless the model generates."""
    given, output = next(iter(graph.inputs.values())), next(iter(graph.outputs.values()))
    if next(iter(graph.inputs)) != "latent" and not (
        given.picture and output.picture and graph.scale
    ):
        exported = path.suffix.lower() == ".onnx"
        raise WeightsError(
            f"{path}: it makes no picture of a picture: it reads {', '.join(graph.inputs)} and "
            f"gives {', '.join(graph.outputs)}; "
            + (
                "ONNX Runtime runs it: `onnxruntime.InferenceSession(path).run(None, inputs)`"
                if exported
                else "C programs run it with `imagen_fast_run_graph` (docs/embed.md), and "
                "`imagen-fast export --outputs` writes it for ONNX Runtime"
            )
        )
