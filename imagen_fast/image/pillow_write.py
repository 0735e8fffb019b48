"""JPEG, WebP, AVIF and BMP through Pillow, whose encoders want the whole picture."""

from __future__ import annotations

from typing import Any, BinaryIO

from PIL import Image, ImageCms

from imagen_fast.image import profile
from imagen_fast.image.carry import WITHOUT_GREY
from imagen_fast.image.picture import Metadata, eight_bits
from imagen_fast.image.pillow import info
from imagen_fast.samples import Samples

QUALITY = 95


class PillowWriter:
    """Rows (h, W, 1 to 4 channels) uint8 or uint16, from top to bottom → an open file.

    They are pasted into the one Pillow image that is then encoded: there is no second copy.
    """

    def __init__(
        self,
        file: BinaryIO,
        kind: str,
        shape: tuple[int, int, int],
        metadata: Metadata,
        quality: int | None,
    ) -> None:
        height, width, channels = shape
        self._file = file
        self._kind = kind
        self._options = _options(kind, metadata, channels, quality)
        self._color = channels - 1 + channels % 2
        self._transform = None if "icc_profile" in self._options else _transform(metadata, channels)
        grey = self._color == 1 and kind not in WITHOUT_GREY and self._transform is None
        mode = ("L" if grey else "RGB") + ("A" if channels > self._color else "")
        self._image = Image.new(mode, (width, height))
        self._row = 0

    def write(self, rows: Samples) -> None:
        """Append rows, rounded to 8 bits."""
        samples = eight_bits(rows)
        color = samples[..., 0] if self._color == 1 else samples[..., : self._color]
        part = Image.fromarray(color)
        if self._transform is not None:
            part = ImageCms.applyTransform(part, self._transform) or part
        if samples.shape[2] > self._color:
            part.putalpha(Image.fromarray(samples[..., -1]))
        self._image.paste(part, (0, self._row))  # which converts the mode, if it has to
        self._row += len(rows)

    def finish(self) -> None:
        """Encode the picture."""
        self._image.save(self._file, self._kind, **self._options)

    def close(self) -> None:
        """Let the picture go."""
        self._image.close()


def _options(kind: str, metadata: Metadata, channels: int, quality: int | None) -> dict[str, Any]:
    carried = info(metadata)
    if kind == "BMP":
        return {"dpi": metadata.dpi} if metadata.dpi else {}
    if kind in WITHOUT_GREY and channels < 3:  # their pixels are RGB
        carried.pop("icc_profile", None)
    if kind == "WEBP":
        lossless = quality == 100
        return {"quality": quality or QUALITY, "lossless": lossless, "exact": lossless, **carried}
    return {"quality": quality or QUALITY, "subsampling": "4:4:4", **carried}


def _transform(metadata: Metadata, channels: int) -> ImageCms.ImageCmsTransform | None:
    """From the profile, which the file cannot carry along, to sRGB; None if there is none."""
    return profile.to_srgb(metadata.icc, "L" if channels < 3 else "RGB") if metadata.icc else None
