"""Enlarge one picture: a Pillow image, an array or a file, and get the same kind back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, overload

from numpy.typing import NDArray

from imagen_fast import catalogue
from imagen_fast.engine import Engine, load
from imagen_fast.errors import ImageError, WeightsError

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


PathLike = str | os.PathLike[str]


@overload
def upscale(
    image: PathLike,
    scale: int = 4,
    *,
    model: PathLike | None = None,
    output: PathLike | None = None,
    **options: Unpack[EngineOptions],
) -> Path: ...
@overload
def upscale(
    image: Image,
    scale: int = 4,
    *,
    model: PathLike | None = None,
    output: None = None,
    **options: Unpack[EngineOptions],
) -> Image: ...
@overload
def upscale(
    image: NDArray[Any],
    scale: int = 4,
    *,
    model: PathLike | None = None,
    output: None = None,
    **options: Unpack[EngineOptions],
) -> NDArray[Any]: ...


def upscale(
    image: PathLike | Image | NDArray[Any],
    scale: int = 4,
    *,
    model: PathLike | None = None,
    output: PathLike | None = None,
    **options: Unpack[EngineOptions],
) -> Path | Image | NDArray[Any]:
    """Enlarge a picture `scale` times. For many pictures, `load` an engine once.

    Args:
        image: a Pillow image, an array (see `Engine.__call__`), or a path.
        scale: how many times larger each side becomes.
        model: a shipped model's name or a bundle's path; by default the shipped one for `scale`.
        output: for a path, the file to write, replacing what is there; `{stem}_x{scale}.png`
            beside the input by default.
        options: backend, device, precision, threads, tile, overlap: see `load`.

    Returns:
        A Pillow image, an array or the path of the written file, as `image` was.

    Raises:
        ImageError: the picture cannot be read, is of a kind not handled, or cannot be written.
        WeightsError: no such model, it does not enlarge `scale` times, or it is damaged.
        BackendError, TilingError: see `load`.
    """
    if output is not None and not isinstance(image, str | os.PathLike):
        raise ImageError("output is for paths only; save the returned picture yourself")
    with load(model or catalogue.for_scale(scale), **options) as engine:
        if engine.scale != scale:
            raise WeightsError(
                f"model {os.fspath(model or '')!r} enlarges {engine.scale} times, not {scale}; "
                f"pass scale={engine.scale} or another model"
            )
        if isinstance(image, str | os.PathLike):
            source = Path(image)
            target = Path(output) if output else source.with_name(f"{source.stem}_x{scale}.png")
            _upscale_file(engine, source, target)
            return target
        return engine(image)


def _upscale_file(engine: Engine, source: Path, target: Path) -> None:
    from imagen_fast.image.read import read
    from imagen_fast.image.write import open_writer

    if target.exists() and source.exists() and target.samefile(source):
        raise ImageError(f"{target}: the output is the input; choose another name")
    picture = read(source)
    height, width, channels = picture.color.shape
    with open_writer(
        target,
        engine.scale * height,
        engine.scale * width,
        channels,
        picture.alpha is not None,
        picture.color.dtype,
        picture.metadata,
    ) as writer:
        for rows in engine.stream(picture):
            writer.write(rows)
