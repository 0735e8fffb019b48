"""XMP packets: find properties, change or remove them, and leave every other byte as it is.

A property is an attribute or an element, and its prefix is whatever the packet binds to its
namespace (XMP Specification Part 1, section 7).
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

NAMESPACES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "GAudio": "http://ns.google.com/photos/1.0/audio/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Device": "http://ns.google.com/photos/dd/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
}
"""What the prefixes usually stand for, and do where a packet fails to say so."""

_ATTRIBUTE = re.compile(rb"\s+([^\s=/>]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_DEPTH = 100
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
    """The properties of these namespaces, or ones below them; outer ones behind inner ones.

    Raises ValueError if the packet is no XML.
    """
    reader = _Reader(packet)
    try:
        reader.parser.Parse(packet.rstrip(b"\0"), True)
    except expat.ExpatError as error:
        raise ValueError(f"it is no XML: {error}") from error
    return reader.found


def spliced(packet: bytes, changes: dict[Span, bytes]) -> bytes:
    """The packet with other bytes at these places; of nested places the outer one counts."""
    parts, at = [], 0
    for begin, end in sorted(changes, key=lambda span: (span[0], -span[1])):
        if begin >= at:
            parts += [packet[at:begin], changes[begin, end]]
            at = end
    return b"".join([*parts, packet[at:]])


class _Element(NamedTuple):
    name: Name
    begin: int
    inside: int  # behind its first tag
    scope: ChainMap[str, str]


class _Reader:
    """Collects the properties while expat reads.

    Prefixes are looked up here, as expat refuses a packet that does not bind them all.
    """

    def __init__(self, packet: bytes) -> None:
        self.found: list[Property] = []
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._refuse
        self._packet = packet
        self._open = [_Element(("", ""), 0, 0, ChainMap(NAMESPACES))]

    def _start(self, full: str, attributes: dict[str, str]) -> None:
        if len(self._open) > _DEPTH:
            raise ValueError(f"its elements lie more than {_DEPTH} deep in each other")
        bound = {name[6:]: uri for name, uri in attributes.items() if name.startswith("xmlns:")}
        scope = self._open[-1].scope.new_child(bound) if bound else self._open[-1].scope
        name, begin = _resolved(full, scope), self.parser.CurrentByteIndex
        end = begin
        for attribute, whole, value in self._attributes(begin):
            self._keep(Property(_resolved(attribute, scope), name, whole, value))
            end = whole[1]
        self._open.append(_Element(name, begin, self._packet.index(b">", end) + 1, scope))

    def _end(self, _: str) -> None:
        element = self._open.pop()
        at = self.parser.CurrentByteIndex
        if self._packet.startswith(b"</", at):
            end = self._packet.index(b">", at) + 1
        else:  # a tag that ends itself
            at = end = element.inside
        parent = self._open[-1].name
        self._keep(Property(element.name, parent, (element.begin, end), (element.inside, at)))

    def _refuse(self, *_: object) -> None:
        raise ValueError("it declares a document type, which XMP has none of")

    def _attributes(self, begin: int) -> Iterator[tuple[str, Span, Span]]:
        """The name of each attribute of a tag, its place, and that of its value."""
        tag = _TAG.match(self._packet, begin)
        if tag is None:
            raise ValueError("it is not in UTF-8")
        at = tag.end()
        while found := _ATTRIBUTE.match(self._packet, at):
            at = found.end()
            value = found.span(2 if found[2] is not None else 3)
            yield found[1].decode(), found.span(), value

    def _keep(self, found: Property) -> None:
        if found.name[0].startswith(tuple(NAMESPACES.values())):
            self.found.append(found)


def _resolved(full: str, scope: ChainMap[str, str]) -> Name:
    prefix, _, name = full.rpartition(":")
    return scope.get(prefix, ""), name
