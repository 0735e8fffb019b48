"""Decode one picture file, which may be anything at all: nothing in it is trusted.

The first bytes choose the decoder, the name only for TGA, which has no signature. The size is
checked in the header before anything is decoded. Whatever goes wrong in a decoder comes out as one
ImageError.

No filter of warnings, logger or limit of the process is touched: Pillow may warn of a TIFF file's
damaged tags and a PNG file's damaged animation, which are then left out.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile

from imagen_fast import stand_in
from imagen_fast.errors import ImageError, ImageWarning
from imagen_fast.image import (
    avif,
    jpeg2000,
    jpeg_read,
    png_read,
    signatures,
    tga,
    tiff_read,
    webp_read,
)
from imagen_fast.image.limits import DEFAULT_MAX_PIXELS, check_frames, check_size
from imagen_fast.image.picture import Picture
from imagen_fast.image.pillow import from_pil

READABLE = "JPEG, PNG, WebP, AVIF, JPEG 2000, TIFF, BMP, GIF or TGA"

Decoder = Callable[[BinaryIO, int], Picture]


def read(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Decode a JPEG, PNG, WebP, AVIF, JPEG 2000, TIFF, BMP, GIF or TGA file of one frame.

    Of an MPO file, which is a JPEG file with more pictures behind it, the first is read.

    Returns the picture upright: EXIF orientation is applied and its tag reset to 1. 16-bit grey
    and RGB of PNG and TIFF stay 16 bit, everything else is 8 bit (16-bit CMYK too). Palette,
    1-bit, CMYK and the like become grey or RGB, with alpha if the file has transparency.

    Kept are ICC profile, EXIF, XMP and resolution; of PNG also gAMA, cHRM, sRGB and cICP, which
    only PNG can be written with. Nothing else is: IPTC (JPEG's APP13, TIFF's tag 33723), PNG's
    texts, comments, gain maps and thumbnails. An ImageWarning names what is damaged, does not fit
    the pixels, or claims what is not carried: the picture comes without it.

    A container may be imperfect as long as all pixels are there: an end mark that is missing,
    something behind the picture, lengths that are wrong.

    An ImageWarning says of floats that they were clipped, and of 32-bit integers that they are
    nearly black (see `from_pil`).

    Raises ImageError, one line that names the file, for anything that is not such a picture:
    missing, damaged, of more than `max_pixels` pixels, of several frames or pages.
    """
    path = Path(path)
    try:
        with _opened(path) as file:
            picture = _decoder(file, path.suffix.lower())(file, max_pixels)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{path}: there is not enough memory to decode it") from error
    except Exception as error:  # decoders fail on hostile files in every way there is
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: it is damaged or of a kind not handled: {reason}") from error
    for note in (*picture.notes, *picture.metadata.lost):
        warnings.warn(f"{path}: {note}", ImageWarning, stacklevel=2)
    return picture


def _opened(path: Path) -> BinaryIO:
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise ImageError("it is a folder, expected a picture file")
        if not stat.S_ISREG(kind):
            raise ImageError("it is a device or a pipe, expected a picture file")
        return path.open("rb")
    except OSError as error:
        raise ImageError(f"it cannot be opened: {error.strerror}") from error
    except ValueError as error:
        raise ImageError(f"it cannot be opened: {error}") from error


def _decoder(file: BinaryIO, extension: str) -> Decoder:
    start = file.read(max(signatures.BRANDS, stand_in.BEGINNING))
    file.seek(0)
    if not start:
        raise ImageError("the file is empty")
    for signature, decoder in _DECODERS.items():
        if start.startswith(signature) and (signature != b"RIFF" or start[8:12] == b"WEBP"):
            return decoder
    if signatures.is_avif(start):
        return avif.decode
    if known := signatures.unreadable(start):
        raise ImageError(known)
    if extension in tga.EXTENSIONS:
        return tga.decode
    what = stand_in.explain(start)
    said = f"; it is {what}" if what else ""
    raise ImageError(f"it is no picture that can be read, expected {READABLE}{said}")


def _pillow(plugin: Callable[[BinaryIO], ImageFile]) -> Decoder:
    """A plugin is called directly because `Image.open` has limits of its own."""

    def decode(file: BinaryIO, max_pixels: int) -> Picture:
        with plugin(file) as image:
            check_size(image.width, image.height, max_pixels)
            check_frames(getattr(image, "n_frames", 1), "frames")
            image.load()
            return from_pil(image)

    return decode


_DECODERS: dict[bytes, Decoder] = {
    b"\xff\xd8\xff": jpeg_read.decode,
    b"\x89PNG\r\n\x1a\n": png_read.decode,
    b"RIFF": webp_read.decode,
    b"\0\0\0\x0cjP  \r\n\x87\n": jpeg2000.decode,
    b"\xff\x4f\xff\x51": jpeg2000.decode,
    b"II*\0": tiff_read.decode,
    b"MM\0*": tiff_read.decode,
    b"II+\0": tiff_read.decode,  # BigTIFF
    b"MM\0+": tiff_read.decode,
    b"BM": _pillow(BmpImageFile),
    b"GIF87a": _pillow(GifImageFile),
    b"GIF89a": _pillow(GifImageFile),
}
