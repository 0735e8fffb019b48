"""How many dots per inch a picture says it has, and whether to believe it."""

from __future__ import annotations

import io
import math
import struct

from imagen_fast.image import ifd, tags

_INCHES = {2: 1.0, 3: 2.54}  # per unit of RESOLUTION_UNIT; 1 says only how wide pixels are


def sensible(dpi: object) -> tuple[float, float] | None:
    """The resolution if it is two numbers that make sense; 1 × 1 is how files say that a pixel is
    square.
    """
    try:
        x, y = (float(value) for value in dpi)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if x == y == 1:
        return None
    return (x, y) if all(math.isfinite(v) and 0 < v < 1e6 for v in (x, y)) else None


def of_directory(layout: ifd.Layout, directory: ifd.Directory) -> tuple[float, float] | None:
    """What a TIFF directory says, as its picture lies; None if it says nothing sensible."""

    def numbers(tag: int) -> tuple[int, ...]:
        value = directory.get(tag)
        return layout.numbers(value) if isinstance(value, ifd.Value) else ()

    unit = _INCHES.get((numbers(tags.RESOLUTION_UNIT) or (2,))[0])
    x, y = numbers(tags.X_RESOLUTION), numbers(tags.Y_RESOLUTION)
    if unit and len(x) == len(y) == 2 and x[1] and y[1]:
        return sensible((unit * x[0] / x[1], unit * y[0] / y[1]))
    return None


def of_exif(exif: bytes | None) -> tuple[float, float] | None:
    """What an EXIF block says; None if nothing, or if it is damaged."""
    try:
        layout, pages = ifd.parse(io.BytesIO(exif or b""))
    except (ValueError, struct.error):
        return None
    return of_directory(layout, pages[0]) if pages else None
