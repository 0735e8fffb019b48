"""Enlarge one picture: a Pillow image, an array or a file, and get the same kind back."""

from __future__ import annotations

import logging
import operator
import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import NDArray

from imagen_fast import catalogue
from imagen_fast.engine import Engine
from imagen_fast.errors import WeightsError
from imagen_fast.loading import check_makes_pictures, load
from imagen_fast.model_file import read_header
from imagen_fast.task import UPSCALE
from imagen_fast.tasks.automatic import automatic
from imagen_fast.tasks.single import (
    AnyImage,
    FileOptions,
    LoadOptions,
    PathLike,
    Pictures,
    of_load,
    single,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Unpack


@overload
def upscale(
    image: PathLike,
    scale: int = 4,
    *,
    model: PathLike | None = None,
    **options: Unpack[FileOptions],
) -> Path: ...
@overload
def upscale(
    image: AnyImage,
    scale: int = 4,
    *,
    model: PathLike | None = None,
    **options: Unpack[LoadOptions],
) -> AnyImage: ...


def upscale(
    image: PathLike | Image | NDArray[Any],
    scale: int = 4,
    *,
    model: PathLike | None = None,
    **options: Unpack[FileOptions],
) -> Path | Image | NDArray[Any]:
    """Enlarge a picture `scale` times. For many pictures, `load` an engine once.

    Args:
        image: a Pillow image, an array (see `Engine.__call__`), or a path.
        scale: how many times larger each side becomes.
        model: a shipped model's name or a bundle's path; None or "auto" for the shipped one for
            `scale`, or, of pictures with JPEG blocks or noise, the one made for those if there is
            one, which the logger "imagen_fast" says (INFO).
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
    name = _model(model, scale, options.get("backend", "auto"))
    with ExitStack() as others:

        def through(engine: Engine) -> Pictures:
            if catalogue.asked_for(model):
                return engine
            return automatic(
                engine,
                lambda path: others.enter_context(load(path, **of_load(options))),
                partial(
                    logging.getLogger("imagen_fast").info,
                    "the picture: %s: %s takes it, not %s",
                ),
            )

        return single(
            image,
            name,
            through,
            UPSCALE.suffix_for(scale),
            options,
        )


def _model(model: PathLike | None, scale: int, backend: str) -> PathLike:
    """The model, which has to enlarge so many times; the shipped one if it is None."""
    if not catalogue.asked_for(model):
        return catalogue.for_task(UPSCALE, scale)
    path = catalogue.resolve(model)
    header = read_header(path, backend)
    check_makes_pictures(path, header.graph)
    own, task = header.graph.scale, header.task
    if task is not UPSCALE:
        raise WeightsError(
            f"model {os.fspath(model)!r} is for {task.name}; expected one that enlarges pictures "
            "(imagen_fast.load takes any)"
        )
    if own != scale:
        raise WeightsError(
            f"model {os.fspath(model)!r} {task.does(own)}, not {scale}; pass scale={own} or "
            "another model"
        )
    return model
