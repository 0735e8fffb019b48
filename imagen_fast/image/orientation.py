"""The eight ways a picture can lie in its file, as EXIF and TIFF number them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imagen_fast.image import exif, xmp
from imagen_fast.image.picture import Picture
from imagen_fast.samples import Samples


def upright(samples: Samples, orientation: int) -> Samples:
    """Turn and mirror (H, W, ...) samples so that they stand upright; 5 to 8 swap H and W.

    The number says which sides of the picture the file's first row and column are (EXIF 3.0, tag
    274). One that is not 2 to 8 changes nothing.
    """
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)  # rows of the file are columns of the picture
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)


def upright_picture(picture: Picture) -> Picture:
    """Apply the orientation that the EXIF block states, once: the tag of what comes back says 1."""
    metadata = picture.metadata
    how = exif.orientation(metadata.exif)
    if metadata.exif is None or how == 1:
        return picture
    color = upright(picture.color, how)
    alpha = None if picture.alpha is None else upright(picture.alpha, how)
    packet = metadata.xmp and xmp.upright(metadata.xmp)
    dpi = metadata.dpi and (metadata.dpi[::-1] if how >= 5 else metadata.dpi)
    metadata = replace(metadata, exif=exif.upright(metadata.exif), xmp=packet, dpi=dpi)
    return replace(picture, color=color, alpha=alpha, metadata=metadata)
