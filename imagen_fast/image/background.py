"""Pictures without their transparency, where it hides nothing or on a colour; grey as RGB."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import ImageColor

from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.write import FORMATS
from imagen_fast.samples import Samples

RGB: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

_STRIP = 1 << 20  # pixels laid at a time


def color_of(text: str) -> RGB:
    """`white`, `#fc0`, `#ffcc00`, `rgb(255, 204, 0)` and the like; raises ImageError."""
    try:
        red, green, blue, *transparency = ImageColor.getrgb(text)
        if transparency or max(red, green, blue) > 255:
            raise ValueError
    except (ValueError, TypeError, AttributeError) as error:  # the last two of what is no text
        raise ImageError(
            f"the background {text!r} is no colour without transparency; expected a name such as "
            "white, or #rrggbb"
        ) from error
    return red, green, blue


def opaque_where_needed(picture: Picture, path: Path, background: RGB | None) -> Picture:
    """The picture on `background` if there is one; else as `path`'s format can hold it.

    That is without its alpha if the format has no place for it and it hides nothing. A picture
    whose transparency would be lost comes back as it is, for `check_output` to refuse. An
    ImageWarning names a profile that the background takes away.
    """
    if picture.alpha is None:
        return picture
    if background is not None:
        laid = laid_on(picture, background)
        if laid.metadata.icc != picture.metadata.icc:
            loss = "its grey profile is left out, since the background makes it RGB"
            warnings.warn(f"{path}: {loss}", ImageWarning, stacklevel=2)
        return laid
    form = FORMATS.get(path.suffix.lower())
    hides = picture.alpha.min() < np.iinfo(picture.alpha.dtype).max
    return picture if form is None or form.alpha or hides else replace(picture, alpha=None)


def laid_on(picture: Picture, background: RGB) -> Picture:
    """The picture over a colour, which is one of the picture's own colour space; opaque.

    Grey stays grey on a grey background and becomes RGB on any other, without a grey profile.
    """
    color, alpha, metadata = picture.color, picture.alpha, picture.metadata
    if alpha is None:
        return picture
    full = int(np.iinfo(color.dtype).max)
    behind = np.array(background, np.uint32) * (full // 255)
    channels = color.shape[2]
    if channels == 1 and len(set(background)) == 1:
        behind = behind[:1]
    elif channels == 1:
        channels, metadata = 3, _without_grey_profile(metadata)
    laid: Samples = np.empty((*alpha.shape, channels), color.dtype)
    step = max(1, _STRIP // picture.width)
    for top in range(0, picture.height, step):
        rows = slice(top, top + step)
        opacity = alpha[rows, :, None].astype(np.uint32)  # 65535² and half of it fit into 32 bits
        mixed = color[rows] * opacity + behind * (full - opacity)
        laid[rows] = (mixed + full // 2) // full
    return Picture(laid, None, metadata)


def in_color(picture: Picture) -> Picture:
    """A grey picture as RGB of three equal channels, without a grey profile; others as they are."""
    if picture.color.shape[2] == 3:
        return picture
    return replace(
        picture,
        color=np.repeat(picture.color, 3, axis=2),
        metadata=_without_grey_profile(picture.metadata),
    )


def _without_grey_profile(metadata: Metadata) -> Metadata:
    grey = metadata.icc is not None and metadata.icc[16:20] == b"GRAY"
    return replace(metadata, icc=None) if grey else metadata
