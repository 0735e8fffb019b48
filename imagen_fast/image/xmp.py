"""XMP packets: find properties, change or remove them, and leave every other byte as it is.

A property is an attribute or an element, and its prefix is whatever the packet binds to its
namespace, so an XML parser finds it (XMP Specification Part 1, section 7).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from xml.parsers import expat

TIFF = "http://ns.adobe.com/tiff/1.0/"
EXIF = "http://ns.adobe.com/exif/1.0/"
GPANO = "http://ns.google.com/photos/1.0/panorama/"
CAMERA = "http://ns.google.com/photos/1.0/camera/"
REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"

# What a file held beside its picture: how properties that tell of it start, and what it was.
_BESIDE = {
    ("http://ns.adobe.com/hdr-gain-map/1.0/", ""): "gain map",
    ("http://ns.apple.com/HDRGainMap/1.0/", ""): "gain map",
    (CAMERA, "MotionPhoto"): "video",
    (CAMERA, "MicroVideo"): "video",
    ("http://ns.google.com/photos/1.0/depthmap/", ""): "depth map",
    ("http://ns.google.com/photos/dd/1.0/", ""): "depth map",
    ("http://ns.google.com/photos/1.0/image/", ""): "second picture",
    ("http://ns.google.com/photos/1.0/audio/", ""): "sound",
    ("http://ns.google.com/photos/1.0/container/", ""): None,  # lists what the others describe
    ("http://ns.adobe.com/xmp/note/", "HasExtendedXMP"): "second part of XMP",
}
_PLACES = ("SubjectArea", "SubjectLocation", "FocalPlaneXResolution", "FocalPlaneYResolution",
           "FocalPlaneResolutionUnit")  # fmt: skip
_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_TAG = re.compile(rb"<[^\s/>]+")

Span = tuple[int, int]
Name = tuple[str, str]
"""Namespace and local name."""


class Property(NamedTuple):
    """Where a property stands in its packet: the whole of it, and its value."""

    name: Name
    parent: Name
    whole: Span
    value: Span


def parse(packet: bytes) -> list[Property]:
    """All properties of a packet, outer ones behind inner ones. Raises ValueError if it is no XML.

    Every element counts as one, RDF's own too.
    """
    reader = _Reader(packet)
    try:
        reader.parser.Parse(packet.rstrip(b"\0"), True)
    except expat.ExpatError as error:
        raise ValueError(f"it is no XML: {error}") from error
    return reader.found


def beside(packet: bytes) -> tuple[bytes, list[str]]:
    """The packet without claims of what its file held beside the picture, and what that was."""
    claims = [(p, kind) for p in parse(packet) for key in _BESIDE if _starts(p.name, key)
              for kind in [_BESIDE[key]]]  # fmt: skip
    kinds = dict.fromkeys(kind for _, kind in claims if kind)
    return _spliced(packet, {p.whole: b"" for p, _ in claims}), list(kinds)


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
    regions = {(DIMENSIONS, "w"): width, (DIMENSIONS, "h"): height}

    def new(p: Property) -> int | None:
        if p.parent == (REGIONS, "AppliedToDimensions"):
            return regions.get(p.name)
        return sizes.get(p.name)

    return _valued(packet, new)


def without_places(packet: bytes) -> bytes:
    """The packet without what it tells of single pixels of a picture of another size."""
    gone = {p.whole: b"" for p in parse(packet) if p.name[0] == EXIF and p.name[1] in _PLACES}
    return _spliced(packet, gone)


class _Reader:
    """Collects the properties while expat reads."""

    def __init__(self, packet: bytes) -> None:
        self.found: list[Property] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.ordered_attributes = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse
        self._packet = packet
        self._open: list[tuple[Name, int, int]] = []  # name, where the tag begins and ends

    def _start(self, full: str, attributes: list[str]) -> None:
        name, begin = _split(full), self.parser.CurrentByteIndex
        tag = _TAG.match(self._packet, begin)
        if tag is None:
            raise ValueError("it is not in UTF-8")
        at, raw = tag.end(), []
        while found := _ATTRIBUTE.match(self._packet, at):
            at = found.end()
            if not found[1].startswith(b"xmlns"):  # which expat does not hand on
                raw.append(found)
        for attribute, match in zip(attributes[::2], raw, strict=True):
            value = match.span(2 if match[2] is not None else 3)
            self.found.append(Property(_split(attribute), name, match.span(), value))
        self._open.append((name, begin, self._packet.index(b">", at) + 1))

    def _end(self, _: str) -> None:
        name, begin, inside = self._open.pop()
        end = at = self.parser.CurrentByteIndex
        if self._packet.startswith(b"</", at):
            end = self._packet.index(b">", at) + 1
        else:  # a tag that ends itself
            at = end = inside
        parent = self._open[-1][0] if self._open else ("", "")
        self.found.append(Property(name, parent, (begin, end), (inside, at)))

    def _refuse(self, *_: object) -> None:
        raise ValueError("it declares a document type, which XMP has none of")


def _split(full: str) -> Name:
    namespace, _, name = full.rpartition(" ")
    return namespace, name


def _starts(name: Name, key: Name) -> bool:
    """Whether a name has the key's namespace, or one below it, and starts as the key's name."""
    return name[0].startswith(key[0]) and name[1].startswith(key[1])


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
    return _spliced(packet, changes)


def _spliced(packet: bytes, changes: dict[Span, bytes]) -> bytes:
    """The packet with other bytes at these places; of nested places the outer one counts."""
    parts, at = [], 0
    for begin, end in sorted(changes, key=lambda span: (span[0], -span[1])):
        if begin >= at:
            parts += [packet[at:begin], changes[begin, end]]
            at = end
    return b"".join([*parts, packet[at:]])
