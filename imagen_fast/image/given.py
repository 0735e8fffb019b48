"""What callers hand in as a picture: a Pillow image, an array or a `Picture`."""

from __future__ import annotations

import warnings

import numpy as np

from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image.alpha import fill_transparent
from imagen_fast.image.array import from_array
from imagen_fast.image.picture import Picture
from imagen_fast.samples import Samples, full


def picture_of(image: object, name: str = "picture") -> Picture:
    """A Pillow image as a picture; an ImageWarning names what was changed or left out.

    Raises:
        ImageError: it is something else, empty, closed or cut short.
    """
    from PIL.Image import Image

    from imagen_fast.image.pillow import from_any_pil

    if not isinstance(image, Image):
        raise no_picture(image, name)
    picture = from_any_pil(image)
    for note in (*picture.notes, *picture.metadata.lost):
        warnings.warn(f"the {name}: {note}", ImageWarning, stacklevel=3)
    return picture


def no_picture(image: object, name: str = "picture") -> ImageError:
    """What to say of something that is no Pillow image, array or `Picture`."""
    kind = type(image).__name__
    if isinstance(image, bytes | bytearray | memoryview):
        return ImageError(
            f"the {name} is {kind}, neither a path nor an array; expected a path as a str, or of "
            "an encoded picture `PIL.Image.open(io.BytesIO(data))`"
        )
    if hasattr(image, "read"):
        return ImageError(
            f"the {name} is an open file ({kind}); expected its path, or `PIL.Image.open(file)`"
        )
    return ImageError(
        f"the {name} is a {kind}; expected a Pillow image, a NumPy array or a Picture; "
        "imagen_fast.upscale, restore and stylize take paths too"
    )


def rgb_of(image: object, name: str = "picture") -> Samples:
    """Any of them as (H, W, 3) float32 from 0 to 1.

    Grey becomes three equal channels; what is transparent takes the colour beside it.

    Raises:
        ImageError: as `picture_of` and `from_array`.
    """
    if isinstance(image, np.ndarray):
        color, alpha = from_array(image)
    else:
        picture = image if isinstance(image, Picture) else picture_of(image, name)
        color, alpha = picture.color, picture.alpha
    if alpha is not None:
        color = fill_transparent(color, alpha)
    rgb: Samples = color.astype(np.float32) / np.float32(full(color.dtype))
    return np.repeat(rgb, 3, axis=2) if rgb.shape[2] == 1 else rgb
