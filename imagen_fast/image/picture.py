"""A picture in memory: its samples, and what it carries beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import ImageError
from imagen_fast.image import png_color
from imagen_fast.samples import Samples


@dataclass(frozen=True)
class Metadata:
    """What a picture carries beside its samples; None where it carries none.

    icc   ICC profile of the samples, byte for byte; None is read as sRGB
    exif  EXIF block as PNG and WebP hold it: starts with `II` or `MM`, without `Exif\\0\\0`
    xmp   XMP packet
    dpi   horizontal and vertical resolution in dots per inch
    png   what a PNG file says of its colours beside a profile; other formats have no place for it
    lost  a phrase for each thing that the picture came with and that is left out
    jpeg_table  the 64 steps of lightness, by row, of the JPEG file that the samples come from
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    png: png_color.Chunks = ()
    lost: tuple[str, ...] = ()
    jpeg_table: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture, upright.

    color     (H, W, 1) grey or (H, W, 3) RGB; uint8 or uint16, full range
    alpha     (H, W), dtype of `color`, not premultiplied; None if the picture is opaque
    metadata  what it carries beside its samples
    notes     what there is to warn of in how its samples were taken, a line each
    """

    color: Samples
    alpha: Samples | None = None
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        color, alpha = self.color, self.alpha
        if color.ndim != 3 or color.shape[2] not in (1, 3) or 0 in color.shape:
            raise ImageError(f"color is (H, W, 1) or (H, W, 3) and not empty, not {color.shape}")
        if color.dtype not in (np.uint8, np.uint16):
            raise ImageError(f"color is uint8 or uint16, not {color.dtype}")
        if alpha is not None and (alpha.shape, alpha.dtype) != (color.shape[:2], color.dtype):
            raise ImageError(
                f"alpha is {color.shape[:2]} {color.dtype} like color, "
                f"not {alpha.shape} {alpha.dtype}"
            )

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.color.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.color.shape[1])

    def same_samples(self, other: Picture) -> bool:
        """Whether the other picture has the same samples, whatever it carries beside them."""
        one, two = self.alpha, other.alpha
        if one is None or two is None:
            return one is two and np.array_equal(self.color, other.color)
        return np.array_equal(one, two) and np.array_equal(self.color, other.color)


def eight_bits(samples: Samples) -> NDArray[np.uint8]:
    """Round to 8 bits, 65535 → 255: any shape, uint8 (returned as it is) or uint16 → uint8."""
    if samples.dtype == np.uint8:
        return samples
    # round(v / 257): 257 is odd, so there are no ties.
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
