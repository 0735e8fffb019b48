"""TGA through Pillow."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image
from PIL.TgaImagePlugin import TgaImageFile

from imagen_fast.errors import ImageError
from imagen_fast.image.limits import check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil

EXTENSIONS = (".tga", ".icb", ".vda", ".vst")
"""How a TGA file is known: it has no signature."""


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open TGA file → Picture. Alpha that is 0 everywhere is left out (`from_pil`)."""
    with TgaImageFile(file) as opened:
        image: Image.Image = opened
        check_size(image.width, image.height, max_pixels)
        if not opened.tile:
            raise ImageError("its kind of pixels is not handled: convert it to PNG first")
        image.load()
        if image.mode == "P" and image.palette is not None and image.palette.mode == "RGBA":
            image = image.convert("RGBA")
        return from_pil(image)
