"""Enlarge one picture: a Pillow image, an array or a file, and get the same kind back."""

from __future__ import annotations

import operator
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, overload

from numpy.typing import NDArray

from imagen_fast import atomic, catalogue
from imagen_fast.engine import check, load
from imagen_fast.errors import ImageError, WeightsError
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.model_file import read_header
from imagen_fast.task import UPSCALE

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Unpack


class EngineOptions(TypedDict, total=False):
    """What `imagen_fast.load` takes beside the model."""

    backend: str
    device: str
    precision: str
    threads: int | None
    tile: int
    overlap: int | None
    isa: str


PathLike = str | os.PathLike[str]


@overload
def upscale(
    image: PathLike,
    scale: int = 4,
    *,
    model: PathLike | None = None,
    output: PathLike | None = None,
    overwrite: bool = False,
    quality: int | None = None,
    background: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    **options: Unpack[EngineOptions],
) -> Path: ...
@overload
def upscale(
    image: Image,
    scale: int = 4,
    *,
    model: PathLike | None = None,
    **options: Unpack[EngineOptions],
) -> Image: ...
@overload
def upscale(
    image: NDArray[Any],
    scale: int = 4,
    *,
    model: PathLike | None = None,
    **options: Unpack[EngineOptions],
) -> NDArray[Any]: ...


def upscale(
    image: PathLike | Image | NDArray[Any],
    scale: int = 4,
    *,
    model: PathLike | None = None,
    output: PathLike | None = None,
    overwrite: bool = False,
    quality: int | None = None,
    background: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    **options: Unpack[EngineOptions],
) -> Path | Image | NDArray[Any]:
    """Enlarge a picture `scale` times. For many pictures, `load` an engine once.

    Args:
        image: a Pillow image, an array (see `Engine.__call__`), or a path.
        scale: how many times larger each side becomes.
        model: a shipped model's name or a bundle's path; by default the shipped one for `scale`.
        output: for a path, the file to write; `{stem}_x{scale}.png` beside the input by default.
        overwrite: for a path, replace the output if it exists, or appears meanwhile.
        quality: for a path, 1 to 100 of JPEG, WebP and AVIF; 95 if None.
        background: for a path, the colour that a picture with transparency is laid on, such as
            "white" or "#ffcc00"; None keeps transparency, which JPEG and BMP cannot.
        max_pixels: for a path, the largest picture that is decoded.
        options: backend, device, precision, threads, tile, overlap, isa: see `load`.

    Returns:
        A Pillow image, an array or the path of the written file, as `image` was.

    Raises:
        ImageError: the picture cannot be read, is of a kind not handled, or cannot be written;
            the output exists, and `overwrite` is not set.
        WeightsError: no such model, it does not enlarge `scale` times, or it is damaged.
        BackendError, TilingError: see `load`.
    """
    try:
        scale = operator.index(scale)
    except TypeError:
        raise WeightsError(f"scale is {scale!r}; expected an int, such as 2 or 4") from None
    name = _model(model, scale)
    max_pixels = _whole("max_pixels", max_pixels, 2**62)
    if quality is not None:
        quality = _whole("quality", quality, 100)
    if not isinstance(image, str | os.PathLike):
        given = (output, quality, background) != (None, None, None) or overwrite
        if given or max_pixels != DEFAULT_MAX_PIXELS:
            raise ImageError(
                "output, overwrite, quality, background and max_pixels are for paths only; "
                "save the returned picture yourself"
            )
        with load(name, **options) as engine:
            return engine(image)
    check(name, **options)
    from imagen_fast.image.background import color_of, opaque_where_needed

    behind = None if background is None else color_of(background)
    source, target = _places(image, output, scale, overwrite)
    for leftover in atomic.remove_leftovers(Path(os.path.realpath(target)).parent):
        warnings.warn(f"removed {leftover}, left unfinished by a killed run", stacklevel=2)
    with load(name, **options) as engine:
        from imagen_fast.image.read import read
        from imagen_fast.image.write import writer_for

        picture = opaque_where_needed(read(source, max_pixels=max_pixels), target, behind)
        with writer_for(target, picture, scale, quality, overwrite) as writer:
            for rows in engine.stream(picture):
                writer.write(rows)
    return target


def _model(model: PathLike | None, scale: int) -> PathLike:
    """The model, which has to enlarge so many times; the shipped one if it is None."""
    if model is None:
        return catalogue.for_task(UPSCALE, scale)
    header = read_header(catalogue.resolve(model))
    own, task = header.graph.scale, header.task
    if task is not UPSCALE:
        raise WeightsError(
            f"model {os.fspath(model)!r} {task.does(own)}; expected one that enlarges (imagen_fast."
            "load takes any)"
        )
    if own != scale:
        raise WeightsError(
            f"model {os.fspath(model)!r} {task.does(own)}, not {scale}; pass scale={own} or "
            "another model"
        )
    return model


def _whole(name: str, value: object, most: int) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if not 1 <= number <= most:
        raise ImageError(f"{name} is {value!r}; expected an int from 1 to {most}")
    return number


def _places(
    image: PathLike, output: PathLike | None, scale: int, overwrite: bool
) -> tuple[Path, Path]:
    """The file to read and the file to write, which may not exist unless `overwrite`."""
    if not os.fspath(image):
        raise ImageError("the path of the picture is empty; expected a picture file")
    source = Path(image)
    if source.is_dir():
        raise ImageError(f"{source}: it is a folder, expected a picture file")
    if output is not None and not isinstance(output, str | os.PathLike):
        raise ImageError(f"output is {output!r}; expected the path of a file")
    name = f"{source.stem}{UPSCALE.suffix_for(scale)}.png"
    target = Path(output) if output else source.with_name(name)
    if target.exists() and source.exists() and target.samefile(source):
        raise ImageError(f"{target}: the output is the input; choose another name")
    if os.path.lexists(target) and not overwrite:
        raise ImageError(f"{target} exists; pass overwrite=True to replace it, or another output")
    return source, target
