"""Restore a picture: its holes filled, then as much of the model's changes as is asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from imagen_fast.engine import Engine
from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image.array import from_array
from imagen_fast.image.degradation import Mask
from imagen_fast.image.given import picture_of
from imagen_fast.image.inpaint import inpainted
from imagen_fast.image.jpeg_bounds import keep_coefficients
from imagen_fast.image.jpeg_steps import find_steps
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS
from imagen_fast.image.picture import Picture, eight_bits
from imagen_fast.samples import Samples
from imagen_fast.task import TASKS
from imagen_fast.tasks.laid_over import LaidOver, check_strength, model_for, sixteen_bits
from imagen_fast.tasks.single import AnyImage, FileOptions, LoadOptions, PathLike, single

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Unpack

RESTORE = TASKS["restore"]
MUCH = 0.5  # of a picture; a mask that covers more is probably the wrong way round


@overload
def restore(
    image: PathLike,
    *,
    strength: float = 1.0,
    mask: PathLike | Image | NDArray[Any] | None = None,
    model: PathLike | None = None,
    **options: Unpack[FileOptions],
) -> Path: ...
@overload
def restore(
    image: AnyImage,
    *,
    strength: float = 1.0,
    mask: PathLike | Image | NDArray[Any] | None = None,
    model: PathLike | None = None,
    **options: Unpack[LoadOptions],
) -> AnyImage: ...


def restore(
    image: PathLike | Image | NDArray[Any],
    *,
    strength: float = 1.0,
    mask: PathLike | Image | NDArray[Any] | None = None,
    model: PathLike | None = None,
    **options: Unpack[FileOptions],
) -> Path | Image | NDArray[Any]:
    """Take noise, JPEG blocks and blur out of a picture.

    Args:
        image: a Pillow image, an array (see `Engine.__call__`), or a path.
        strength: from 0, the picture as it is, to 1, all that the model changes: each sample moves
            so far from the one to the other.
        mask: a picture of the same size, light (128 or more of 255) where there are holes or
            scratches, which are filled from around them before the model sees the picture.
        model: a bundle's path; by default the shipped model.
        output: for a path, the file to write; `{stem}_restored.png` beside the input by default.
        overwrite, quality, background, max_pixels, options: see `upscale`.

    Returns:
        A Pillow image, an array or the path of the written file, as `image` was.

    Raises:
        ImageError: see `upscale`; or the strength is out of range, or the mask is of another
            size or set everywhere.
        WeightsError: no such model, it does not restore, or it is damaged.
        BackendError, TilingError: see `imagen_fast.load`.
    """
    model = model_for(RESTORE, model, options.get("backend", "auto"))
    holes = None if mask is None else mask_of(mask, options.get("max_pixels", DEFAULT_MAX_PIXELS))
    check_strength(strength)
    return single(
        image,
        model,
        lambda engine: Restorer(engine, strength, holes),
        RESTORE.suffix_for(1),
        options,
        beside=[mask],
    )


def mask_of(mask: PathLike | Image | NDArray[Any], max_pixels: int = DEFAULT_MAX_PIXELS) -> Mask:
    """A picture as a mask (H, W): where it is visible and its lightest channel is 128 or more.

    An ImageWarning says that this is nowhere, or over more than half of it.

    Raises:
        ImageError: it is no picture.
    """
    if isinstance(mask, np.ndarray):
        color, alpha = from_array(mask.astype(np.float32) if mask.dtype == bool else mask)
    else:
        from imagen_fast.image.read import read

        if isinstance(mask, str | os.PathLike):
            picture = read(mask, max_pixels=max_pixels)
        else:
            picture = picture_of(mask, "mask")
        color, alpha = picture.color, picture.alpha
    holes: Mask = _light(color.max(2))
    if alpha is not None:  # what is hidden, drawing programs leave white
        holes &= _light(alpha)
    if not holes.any():
        note = "the mask is light (128 or more of 255) nowhere, so nothing is filled"
        warnings.warn(note, ImageWarning, stacklevel=2)
    elif (part := holes.mean()) > MUCH:
        note = (
            f"the mask is light over {part:.0%} of the picture: that is filled, what is dark stays"
        )
        warnings.warn(note, ImageWarning, stacklevel=2)
    return holes


def _light(samples: Samples) -> Mask:
    light: Mask = eight_bits(sixteen_bits(samples) if samples.dtype.kind == "f" else samples) >= 128
    return light


class Restorer(LaidOver):
    """An engine whose picture is laid over the one that it got, its holes filled.

    Args:
        mask: (H, W), True where there are holes.
        alone: the pictures are no frames of a video, and may be JPEGs: of what a JPEG holds a model
            of ours takes nothing away (`imagen_fast.image.jpeg_bounds`).
    """

    def __init__(
        self,
        engine: Engine,
        strength: float = 1.0,
        mask: Mask | None = None,
        *,
        alone: bool = True,
    ) -> None:
        super().__init__(engine, strength)
        self._mask = mask
        self._bounded = alone and engine.ours

    def stream(
        self, picture: Picture, progress: Callable[[float], None] | None = None
    ) -> Iterator[Samples]:
        """The restored picture's rows, as `Engine.stream`.

        Raises:
            ImageError: the mask is of another size, or set everywhere.
        """
        color = picture.color
        if self._mask is not None:
            if self._mask.shape != color.shape[:2]:
                (height, width), (h, w) = self._mask.shape, color.shape[:2]
                raise ImageError(f"the mask is {width} × {height}, the picture {w} × {h}")
            color = inpainted(color, self._mask)
            picture = Picture(color, picture.alpha, picture.metadata, picture.notes)
        channels, top = color.shape[2], 0
        found = self._engine.stream(picture, progress)
        steps = find_steps(color, picture.metadata.jpeg_table) if self._bounded else None
        if steps:
            whole = np.concatenate(list(found))
            keep_coefficients(whole[..., :channels], color, steps)
            found = iter([whole])
        for rows in found:
            mixed = self._mixed(color[top : top + len(rows)], rows[..., :channels])
            yield np.concatenate([mixed, rows[..., channels:]], axis=2)
            top += len(rows)
