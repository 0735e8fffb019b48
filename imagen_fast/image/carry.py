"""Which metadata is true of a picture, and which a file can hold.

What is not, or cannot be, is left out and named, and never stops the pixels.
"""

from __future__ import annotations

import io
import struct
from dataclasses import replace

from imagen_fast.image import exif, ifd, png_color, profile, xmp
from imagen_fast.image.picture import Metadata

INKS = 4
WITHOUT_GREY = ("WEBP", "AVIF")  # formats whose pixels are RGB


def believed(data: Metadata, channels: int) -> Metadata:
    """What was read of a picture of 1 (grey), 3 (RGB) or 4 (inks) channels, as far as it is true.

    Left out are a profile and XMP that are damaged, a profile for other channels, and what XMP
    tells of things that were in the file beside the picture. A profile of inks has been applied.
    """
    lost = list(data.lost)
    if data.icc:
        complaint = profile.complaint(data.icc, channels)
        if complaint:
            lost.append(f"{complaint}, so it is left out")
        data = replace(data, icc=None if complaint or channels == INKS else data.icc)
    if data.xmp:
        try:
            packet, beside = xmp.beside(data.xmp)
            lost += [f"its {kind} is not carried over" for kind in beside]
        except ValueError:
            packet = None
            lost.append("its XMP is damaged, so it is left out")
        data = replace(data, xmp=packet)
    return replace(data, lost=tuple(lost))


def resized(data: Metadata, height: int, width: int) -> Metadata:
    """The metadata of a picture that has this size now; what told of single pixels goes."""
    block, packet = data.exif, data.xmp
    other = not (block and exif.states(block, height, width))
    if block:
        block = exif.resized(exif.without_places(block) if other else block, height, width)
    if packet:
        packet = xmp.resized(xmp.without_places(packet) if other else packet, height, width)
    return replace(data, exif=block, xmp=packet)


def fitted(
    data: Metadata, form: str, shape: tuple[int, int, int], block: int | None = None
) -> Metadata:
    """What a file can hold of the metadata of a picture; `lost` is what it cannot.

    form   the file's format as Pillow names it
    shape  of the picture: height, width, and 1 (grey) or 3 (RGB) channels
    block  bytes of EXIF or XMP, each, if the format has a limit
    """
    height, width, channels = shape
    data = resized(believed(replace(data, lost=()), channels), height, width)
    lost = list(data.lost)
    blocks = {"EXIF": data.exif, "XMP": data.xmp}
    for name, content in blocks.items():
        if not content:
            continue
        if form == "BMP":
            reason = f"{form} has no place for its {name}"
        elif block and len(content) > block:
            reason = f"{form} holds {block:,} bytes of {name}, not its {len(content):,}"
        elif name == "EXIF" and form == "TIFF" and not _is_directory(content):
            reason = "its EXIF is damaged"
        else:
            continue
        blocks[name] = None
        lost.append(f"{reason}, so it is left out")
    data = replace(data, exif=blocks["EXIF"], xmp=blocks["XMP"])
    if data.icc and not _usable(data.icc, form, channels):
        data = replace(data, icc=None)
        lost.append(f"its colour profile is damaged, and {form} cannot carry it, so it is left out")
    if form != "PNG":
        beyond = " and ".join(png_color.beyond_srgb(data.png, bool(data.icc)))
        data = replace(data, png=())
        if beyond:
            lost.append(f"{form} cannot carry what {beyond} said of its colours: PNG can")
    return replace(data, lost=tuple(lost))


def _usable(icc: bytes, form: str, channels: int) -> bool:
    """Whether the format carries the profile, or else it can be applied to the pixels."""
    if form == "BMP" or (form in WITHOUT_GREY and channels == 1):
        return profile.to_srgb(icc, "L" if channels == 1 else "RGB") is not None
    return True


def _is_directory(block: bytes) -> bool:
    try:
        return bool(ifd.parse(io.BytesIO(block))[1])
    except (ValueError, struct.error):
        return False
