"""What XMP says of a picture, kept true while the picture is turned, enlarged or taken alone."""

from __future__ import annotations

import re
from collections.abc import Callable

from imagen_fast.image.xmp_packet import NAMESPACES, Name, Property, parse, spliced

TIFF, EXIF, GPANO = NAMESPACES["tiff"], NAMESPACES["exif"], NAMESPACES["GPano"]

# What a file held beside its picture: how properties that tell of it start, and what it was.
_BESIDE = {
    ("hdrgm", ""): "gain map",
    ("HDRGainMap", ""): "gain map",
    ("GCamera", "MotionPhoto"): "video",
    ("GCamera", "MicroVideo"): "video",
    ("GDepth", ""): "depth map",
    ("Device", ""): "depth map",
    ("GImage", ""): "second picture",
    ("GAudio", ""): "sound",
    ("Container", ""): None,  # lists what the others describe
    ("xmpNote", "HasExtendedXMP"): "second part of XMP",
}
_PLACES = ("SubjectArea", "SubjectLocation", "FocalPlaneXResolution", "FocalPlaneYResolution",
           "FocalPlaneResolutionUnit")  # fmt: skip


def beside(packet: bytes) -> tuple[bytes, list[str]]:
    """The packet without claims of what its file held beside the picture, and what that was.

    Raises ValueError, as all functions here, if the packet is no XML.
    """
    gone: dict[tuple[int, int], bytes] = {}
    kinds: dict[str, None] = {}
    for found in parse(packet):
        for (prefix, start), kind in _BESIDE.items():
            # Namespaces below one belong to it, such as that of a container's items.
            if found.name[0].startswith(NAMESPACES[prefix]) and found.name[1].startswith(start):
                gone[found.whole] = b""
                if kind:
                    kinds[kind] = None
    return spliced(packet, gone), list(kinds)


def upright(packet: bytes) -> bytes:
    """The packet of a picture that has been turned upright."""
    return _valued(packet, lambda p: 1 if p.name == (TIFF, "Orientation") else None)


def resized(packet: bytes, height: int, width: int) -> bytes:
    """The packet with every size of the picture in pixels that it states set to height × width.

    Those of a panorama (https://developers.google.com/streetview/spherical-metadata) are places in
    the whole sphere, so they grow as the picture does.
    """
    panorama = {p.name[1]: packet[slice(*p.value)] for p in parse(packet) if p.name[0] == GPANO}
    old_width, old_height = (
        _number(panorama, f"CroppedAreaImage{side}Pixels", f"FullPano{side}Pixels")
        for side in ("Width", "Height")
    )
    across, down = width / (old_width or width), height / (old_height or height)
    sizes: dict[Name, int] = {
        (TIFF, "ImageWidth"): width,
        (TIFF, "ImageLength"): height,
        (EXIF, "PixelXDimension"): width,
        (EXIF, "PixelYDimension"): height,
    }
    for name in panorama:
        if name.endswith("Pixels") or name.startswith("LargestValidInteriorRect"):
            vertical = "Height" in name or "Top" in name
            old = _number(panorama, name)
            if old is not None:
                sizes[GPANO, name] = round(old * (down if vertical else across))
    regions = {(NAMESPACES["stDim"], "w"): width, (NAMESPACES["stDim"], "h"): height}

    def new(found: Property) -> int | None:
        if found.parent == (NAMESPACES["mwg-rs"], "AppliedToDimensions"):
            return regions.get(found.name)
        return sizes.get(found.name)

    return _valued(packet, new)


def without_places(packet: bytes) -> bytes:
    """The packet without what it tells of single pixels of a picture of another size."""
    gone = {p.whole: b"" for p in parse(packet) if p.name[0] == EXIF and p.name[1] in _PLACES}
    return spliced(packet, gone)


def _number(texts: dict[str, bytes], *names: str) -> float | None:
    """The first of these that is a number, and not negative."""
    for name in names:
        text = texts.get(name, b"").strip()
        if re.fullmatch(rb"\d{1,9}(\.\d{1,9})?", text):
            return float(text)
    return None


def _valued(packet: bytes, new: Callable[[Property], int | None]) -> bytes:
    """The packet with new values for the properties that get one."""
    values = {p.value: new(p) for p in parse(packet)}
    changes = {span: b"%d" % value for span, value in values.items() if value is not None}
    return spliced(packet, changes)
