"""TIFF through Pillow, which undoes every compression that libtiff knows."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO

from imagen_fast.errors import ImageError
from imagen_fast.image import carry, ifd, tags, tiff_deep
from imagen_fast.image.libtiff import hushed, undoes
from imagen_fast.image.limits import check_frames, check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil
from imagen_fast.image.tiff_page import UNCOMPRESSED, Page

# Compressions that other libraries write, and libtiff here may lack.
_RARE = {33003: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
         34892: "lossy JPEG", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
         52546: "JPEG XL"}  # fmt: skip


@hushed()
def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """An open TIFF file of one page → Picture, upright; uint16 for 16-bit grey and RGB."""
    layout, pages = ifd.parse(file)
    page = Page(layout, pages[0] if pages else {})
    check_size(page.number(tags.WIDTH), page.number(tags.HEIGHT), max_pixels)
    if tags.DNG_VERSION in page.directory or page.number(tags.SUBFILE, 0) & 1:
        raise ImageError("it is a camera's raw file, which is not handled: develop it first")
    # Smaller copies of the first page and masks of it are no pages of their own.
    others = (Page(layout, other).number(tags.SUBFILE, 0) & 0b101 for other in pages[1:])
    check_frames(1 + sum(not aside for aside in others), "pages")
    compression = page.number(tags.COMPRESSION, UNCOMPRESSED)
    if not undoes(compression):
        named = _RARE.get(compression, f"number {compression}")
        raise ImageError(
            f"its compression, {named}, cannot be undone here: save it with another one, such as "
            "Deflate or LZW"
        )
    size = file.seek(0, io.SEEK_END)
    places = page.places(size)
    # libtiff shows what it finds of a truncated file, and reads parts that overlap many times.
    if any(place + count > size for place, count in places) or sum(c for _, c in places) > size:
        raise ImageError("the TIFF file is truncated: its parts reach behind its end")
    # libtiff asks for the lengths, and Pillow does not know the other order of bytes in BigTIFF.
    if layout.foreign or page.numbers(page.place_tags[1], 0) != tuple(n for _, n in places):
        file = tiff_deep.described(file, page, places)
    if page.deep:
        picture = tiff_deep.decode(file, page, places)
    else:
        file.seek(0)
        with tiff_deep.Reader(file) as image:
            check_size(image.width, image.height, max_pixels)
            image.load()  # Pillow applies the orientation itself
            picture = from_pil(image)
    channels = carry.INKS if page.inks else picture.color.shape[2]
    return replace(picture, metadata=carry.believed(page.metadata(), channels))
