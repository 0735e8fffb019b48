"""TIFF's tag directories (IFDs), which EXIF blocks consist of too: raw bytes in, raw bytes out.

Values stay as they are stored, so a tag of any type passes through unchanged as long as the byte
order does. TIFF 6.0, section 2; BigTIFF has 64-bit counts and offsets.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple, TypeAlias, Union

BYTE, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 3, 4, 5, 7, 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip  # bytes of one value of a type

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_INTEGERS = {1: "B", 3: "H", 4: "I", 5: "I", 16: "Q"}
_DEPTH = 2  # Interoperability lies in EXIF lies in the file's directory
_NESTED = (EXIF, GPS, INTEROPERABILITY)  # tags whose value is the place of another directory


class Value(NamedTuple):
    """What a tag holds: its type and its bytes in the file's order."""

    kind: int
    data: bytes


Directory: TypeAlias = dict[int, Union[Value, "Directory"]]


@dataclass(frozen=True)
class Layout:
    """How a file stores its directories: byte order `<` or `>`, and whether it is BigTIFF."""

    order: Literal["<", ">"] = "<"
    big: bool = False

    @property
    def foreign(self) -> bool:
        """Whether it is BigTIFF of the byte order that Pillow does not know it in."""
        return self.big and self.order == ">"

    def header(self, first: int) -> bytes:
        """The start of a file whose first directory lies at `first`."""
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            return mark + self.pack("HHHQ", 43, 8, 0, first)
        return mark + self.pack("HI", 42, first)

    def pack(self, kinds: str, *values: int) -> bytes:
        """`struct.pack` in this byte order."""
        return struct.pack(self.order + kinds, *values)

    def value(self, kind: int, *numbers: int) -> Value:
        """A tag's value out of integers of type SHORT, LONG, LONG8 or RATIONAL (as two each)."""
        return Value(kind, self.pack(f"{len(numbers)}{_INTEGERS[kind]}", *numbers))

    def numbers(self, value: Value) -> tuple[int, ...]:
        """The integers of a value of such a type; empty for other types."""
        if value.kind not in _INTEGERS:
            return ()
        letter = _INTEGERS[value.kind]
        count = len(value.data) // struct.calcsize("=" + letter)
        return struct.unpack(f"{self.order}{count}{letter}", value.data)


def parse(file: BinaryIO) -> tuple[Layout, list[Directory]]:
    """The directories (pages) of a TIFF file or EXIF block, with the EXIF directories inside them.

    Left out are tags of unknown type, EXIF directories that are damaged, and what is behind a
    damaged page. A value that lies behind the file's end is empty. Raises ValueError or
    struct.error if the first page is damaged. Reads no more bytes than the file has.
    """
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(16).ljust(16, b"\0")
    order: Literal["<", ">"] = "<" if start[:2] == b"II" else ">"
    layout = Layout(order, struct.unpack_from(order + "H", start, 2)[0] == 43)
    word, at = ("Q", 8) if layout.big else ("I", 4)
    (place,) = struct.unpack_from(order + word, start, at)
    source = _Source(file, layout, size, size)
    pages: list[Directory] = []
    seen: set[int] = set()
    while place and place not in seen:
        seen.add(place)
        try:
            directory, place = source.directory(place)
        except (ValueError, struct.error):
            if not pages:
                raise
            break
        pages.append(directory)
    return layout, pages


def build(directory: Directory, layout: Layout, at: int) -> bytes:
    """The bytes of a directory that will lie at `at`, its values and inner directories behind it.

    Their length does not depend on the numbers in it.
    """
    count, word, entry = ("Q", "Q", 20) if layout.big else ("H", "I", 12)
    width = struct.calcsize("=" + word)
    head = layout.pack(count, len(directory))
    behind = at + len(head) + entry * len(directory) + width
    tail = b""
    for tag, value in sorted(directory.items()):
        place = behind + len(tail)
        if isinstance(value, Value):
            kind, data = value
            number = len(data) // _SIZES[kind]
        else:
            kind, number, data = (LONG8 if layout.big else LONG), 1, b""
            tail += build(value, layout, place)
        inline = data if data and len(data) <= width else layout.pack(word, place)
        tail += data if len(data) > width else b""
        tail += bytes(len(tail) % 2)  # values start at even places
        head += layout.pack("HH" + word, tag, kind, number) + inline.ljust(width, b"\0")
    return head + bytes(width) + tail


@dataclass
class _Source:
    file: BinaryIO
    layout: Layout
    size: int
    left: int  # bytes that may still be read

    def read(self, place: int, length: int) -> bytes:
        self.left -= length
        if place + length > self.size or self.left < 0:
            raise ValueError("its tags reach behind its end")
        self.file.seek(place)
        return self.file.read(length)

    def directory(self, place: int, depth: int = 0) -> tuple[Directory, int]:
        """The directory at `place`, and where the next one is (0 if there is none)."""
        order = self.layout.order
        count, word = ("Q", "Q") if self.layout.big else ("H", "I")
        width, entry = struct.calcsize("=" + word), 4 + 2 * struct.calcsize("=" + word)
        begin = place + struct.calcsize("=" + count)
        (number,) = struct.unpack(order + count, self.read(place, begin - place))
        table = self.read(begin, number * entry + width)
        found: Directory = {}
        for start in range(0, number * entry, entry):
            tag, kind, length = struct.unpack_from(order + "HH" + word, table, start)
            stored = table[start + entry - width : start + entry]
            (target,) = struct.unpack(order + word, stored)
            length *= _SIZES.get(kind, 0)
            if tag in _NESTED and depth < _DEPTH:
                with suppress(ValueError, struct.error):
                    found[tag], _ = self.directory(target, depth + 1)
            elif kind in _SIZES:
                inline = length <= width
                found[tag] = Value(kind, stored[:length] if inline else b"")
                if not inline:
                    with suppress(ValueError):
                        found[tag] = Value(kind, self.read(target, length))
        return found, struct.unpack_from(order + word, table, number * entry)[0]
