"""Encode a picture into a file that is there whole or not at all.

Rows go to a temporary file in the folder of the output, which takes the output's name when the
last row is written and disappears if anything goes wrong before that (see `atomic`).

ICC profile, EXIF, XMP and resolution are carried, nothing else: WebP and AVIF have no place for the
resolution (but EXIF may state it), BMP for anything but it, so that a profile is applied there.
What a PNG file says of its colours beside a profile (gAMA, cHRM, sRGB, cICP) is carried to PNG.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from imagen_fast import atomic
from imagen_fast.errors import ImageError, ImagenError, ImageWarning
from imagen_fast.image import avif, carry
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.pillow_write import PillowWriter
from imagen_fast.image.png_write import PngWriter
from imagen_fast.image.tiff_write import TiffWriter
from imagen_fast.samples import Samples

_STRIP = 1 << 20  # samples handed to the writer at a time when a whole picture is there


@dataclass(frozen=True)
class Format:
    """What a file format can hold."""

    name: str
    alpha: bool  # keeps alpha
    deep: bool  # keeps 16 bits
    side: int  # pixels of the longest height or width
    area: int = 2**62  # pixels of the whole
    block: int | None = None  # bytes of EXIF or XMP, each
    quality: bool = False  # has a setting of it


_JPEG = Format("JPEG", alpha=False, deep=False, side=65_500, block=65_500, quality=True)
_PNG = Format("PNG", alpha=True, deep=True, side=2**31 - 1)
_TIFF = Format("TIFF", alpha=True, deep=True, side=2**32 - 1)
_WEBP = Format("WEBP", alpha=True, deep=False, side=16_383, quality=True)
# What libavif reads; it writes more.
_AVIF = Format("AVIF", alpha=True, deep=False, side=2**15, area=2**28, quality=True)
# BMP counts its bytes in 32 bits.
_BMP = Format("BMP", alpha=False, deep=False, side=2**31 - 1, area=(2**32 - 2**20) // 3)

FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".avif": _AVIF,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": _BMP,
}
"""Extensions that can be written, in lower case, and what each keeps."""


class Encoder(Protocol):
    """What writes one format: constructed on an open file, given all rows, then finished."""

    def write(self, rows: Samples) -> None:
        """Append rows (h, W, C)."""

    def finish(self) -> None:
        """Write what is left."""

    def close(self) -> None:
        """Let everything go."""


class Writer:
    """Takes the rows of one picture, from top to bottom, in strips of any height."""

    def __init__(
        self, path: Path, encoder: Encoder, shape: tuple[int, int, int], dtype: np.dtype[Any]
    ) -> None:
        self._path = path
        self._encoder = encoder
        self._shape = shape
        self._dtype = dtype
        self._written = 0

    def write(self, rows: Samples) -> None:
        """Append (h, W, C) rows of the writer's dtype, alpha the last of C; raises ImageError."""
        height, width, channels = self._shape
        if rows.shape[1:] != (width, channels) or rows.dtype != self._dtype:
            raise ImageError(
                f"{self._path}: rows are (h, {width}, {channels}) {self._dtype}, "
                f"not {rows.shape} {rows.dtype}"
            )
        self._written += len(rows)
        if self._written > height:
            raise ImageError(f"{self._path}: got {self._written} rows of a picture of {height}")
        if len(rows):
            with _explained(self._path):
                self._encoder.write(rows)

    def finish(self) -> None:
        """Write the end of the file; `open_writer` does it when its block ends."""
        if self._written < self._shape[0]:
            raise ImageError(
                f"{self._path}: got {self._written} rows of a picture of {self._shape[0]}"
            )
        with _explained(self._path):
            self._encoder.finish()


def check_output(
    path: str | os.PathLike[str],
    height: int | None = None,
    width: int | None = None,
    *,
    alpha: bool = False,
) -> Format:
    """The format that `path` names, if a file of this kind and size can be written there.

    To be asked before the work is done. Raises ImageError for an unknown extension, a name that
    is too long, a folder that is missing, a path that is a folder or a device, alpha that the
    format does not keep, a size beyond what it holds.
    """
    path = Path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        known = ", ".join(FORMATS)
        raise ImageError(f"{path}: cannot write {path.suffix or 'no extension'}, expected {known}")
    with _explained(path):
        _check_place(path)
    if alpha and not form.alpha:
        keep = ", ".join(ext for ext, other in FORMATS.items() if other.alpha)
        raise ImageError(
            f"{path}: {form.name} keeps no transparency: write {keep}, or lay the picture on a "
            "colour with --background (background)"
        )
    if form is _AVIF and (lacking := avif.missing()):
        raise ImageError(f"{path}: {lacking}")
    height, width = height or 1, width or 1
    if max(height, width) > form.side or height * width > form.area:
        raise ImageError(
            f"{path}: {width} × {height} pixels do not fit into {form.name}: write .png or .tif"
        )
    return form


@contextmanager
def open_writer(
    path: str | os.PathLike[str],
    height: int,
    width: int,
    channels: int,
    alpha: bool = False,
    dtype: Any = np.uint8,
    metadata: Metadata | None = None,
    quality: int | None = None,
    overwrite: bool = True,
) -> Iterator[Writer]:
    """Open `path` to be written strip by strip; the extension chooses the format.

    channels  1 grey or 3 RGB; with `alpha` the rows have one channel more, not premultiplied
    dtype     of the rows: uint8, or uint16, which PNG and TIFF keep; the others round to 8 bits,
              and an ImageWarning says so
    metadata  carried along, sizes that it states brought up to date; an ImageWarning names what of
              it the file cannot hold
    quality   1 to 100 of JPEG, AVIF (both 4:4:4) and WebP, 95 if None; 100 makes WebP lossless
    overwrite whether a file of this name may be replaced, which hands on its mode bits

    PNG and TIFF need memory for a strip, the others for the picture. The file appears
    under its name when the block ends; an exception in it, KeyboardInterrupt too, leaves nothing.
    A symbolic link is followed. Raises ImageError as `check_output` does, and if the disk is full
    or the folder cannot be written; with FileExistsError as its cause if `overwrite` is False and
    the name is taken when the block ends.
    """
    path, dtype, metadata = Path(path), np.dtype(dtype), metadata or Metadata()
    if channels not in (1, 3) or dtype not in (np.uint8, np.uint16) or min(height, width) < 1:
        raise ImageError(
            f"{path}: expected 1 or 3 channels of uint8 or uint16 and at least one pixel, "
            f"got {channels} of {dtype}, {width} × {height}"
        )
    if quality is not None and not 1 <= quality <= 100:
        raise ImageError(f"{path}: the quality is 1 to 100, not {quality}")
    form = check_output(path, height, width, alpha=alpha)
    metadata = carry.fitted(metadata, form.name, (height, width, channels), form.block)
    lost = list(metadata.lost)
    if dtype == np.uint16 and not form.deep:
        keep = " and ".join(sorted({other.name for other in FORMATS.values() if other.deep}))
        lost.append(f"{form.name} keeps 8 bits a sample, and its 16 are rounded: {keep} keep them")
    for loss in lost:
        warnings.warn(f"{path}: {loss}", ImageWarning, stacklevel=3)
    shape = (height, width, channels + alpha)
    with _explained(path):
        part = atomic.Part(path, replace=overwrite)
    try:
        with _explained(path):
            encoder = _encoder(form, part.file, shape, dtype, metadata, quality)
        try:
            writer = Writer(path, encoder, shape, dtype)
            yield writer
            writer.finish()
        finally:
            encoder.close()
        with _explained(path):
            part.publish()
    finally:
        part.discard()


def writer_for(
    path: str | os.PathLike[str],
    picture: Picture,
    scale: int = 1,
    quality: int | None = None,
    overwrite: bool = True,
) -> AbstractContextManager[Writer]:
    """`open_writer` for the rows of `picture` enlarged `scale` times; does not hold the picture."""
    height, width, channels = picture.color.shape
    return open_writer(
        path,
        scale * height,
        scale * width,
        channels,
        picture.alpha is not None,
        picture.color.dtype,
        picture.metadata,
        quality,
        overwrite,
    )


def write(
    path: str | os.PathLike[str],
    picture: Picture,
    *,
    quality: int | None = None,
    overwrite: bool = True,
) -> None:
    """Write a whole picture, as `open_writer` does."""
    color, alpha = picture.color, picture.alpha
    with writer_for(path, picture, quality=quality, overwrite=overwrite) as writer:
        step = max(1, _STRIP // color[0].size)
        for top in range(0, picture.height, step):
            rows = color[top : top + step]
            writer.write(rows if alpha is None else np.dstack([rows, alpha[top : top + step]]))


def _encoder(
    form: Format,
    file: BinaryIO,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    metadata: Metadata,
    quality: int | None,
) -> Encoder:
    if form is _PNG:
        return PngWriter(file, shape, dtype, metadata)
    if form is _TIFF:
        return TiffWriter(file, shape, dtype, metadata)
    return PillowWriter(file, form.name, shape, metadata, quality)


def _check_place(path: Path) -> None:
    """Raise OSError or ImageError if no file can appear at `path`."""
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist, create it first")
    with suppress(FileNotFoundError):
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            what = "a folder" if stat.S_ISDIR(kind) else "a device or a pipe"
            raise ImageError(f"{path}: it is {what}, expected the name of a file")
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"{path}: the folder {path.parent} cannot be written")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever fails inside comes out as one ImageError, unless it has been explained already."""
    try:
        yield
    except ImagenError:
        raise
    except MemoryError as error:
        raise ImageError(f"{path}: there is not enough memory to write it") from error
    except FileExistsError as error:
        raise ImageError(
            f"{path} exists: it appeared while the picture was computed, and was not replaced"
        ) from error
    except Exception as error:  # encoders fail in many ways
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ImageError(f"{path}: cannot be written: {reason or type(error).__name__}") from error
