"""What machine code says of a kernel's parameters: PTX's text, and the cubin's own record.

A launcher in another program passes raw addresses and numbers in an order; a mistake there is
silent. So what the manifest says is compared with both before it is written.
"""

from __future__ import annotations

import re
import struct

from imagen_fast.errors import ExportError

# Triton type → bytes.
SIZES = {"i32": 4, "i64": 8, "fp32": 4}
PARAMETER = 0x17  # EIATTR_KPARAM_INFO: of .nv.info.ENTRY, one a parameter


def size_of(kind: str) -> int:
    """Bytes of a parameter of Triton type `kind`: a pointer, "*bf16", takes 8."""
    return 8 if kind.startswith("*") else SIZES[kind]


def check(name: str, entry: str, kinds: list[str], threads: int, *, ptx: str, cubin: bytes) -> None:
    """Compare what a launch will pass with what the code takes.

    kinds: Triton types of all parameters in order, scratch memory's two pointers at the end.

    Raises:
        ExportError: they differ.
    """
    widths = [size_of(kind) for kind in kinds]
    for where, found in (("PTX", in_ptx(ptx, entry)), ("cubin", in_cubin(cubin, entry))):
        if found != widths:
            raise ExportError(
                f"{name}: the {where}'s parameters take {found} bytes; expected {widths}"
            )
    told = re.search(r"\.reqntid (\d+)", ptx)
    if told is None or int(told[1]) != threads:
        found_threads = told[1] if told else "any number of"
        raise ExportError(f"{name}: the PTX is for {found_threads} threads; expected {threads}")


def in_ptx(ptx: str, entry: str) -> list[int]:
    """Bytes of an entry's parameters."""
    head = ptx.partition(f".entry {entry}(")[2].partition(")")[0]
    return [int(bits) // 8 for bits in re.findall(r"\.param \.[usbf](\d+)", head)]


def in_cubin(cubin: bytes, entry: str) -> list[int]:
    """Bytes of an entry's parameters; checks that they lie as C lays a structure out.

    Raises:
        ExportError: the record is missing or says something else.
    """
    found = {}
    info = _section(cubin, f".nv.info.{entry}")
    at = 0
    while at + 4 <= len(info):
        form, attribute, size = struct.unpack_from("<BBH", info, at)
        at += 4
        if form != 4:  # the value is in place of the size
            continue
        if attribute == PARAMETER:
            _, ordinal, offset, flags = struct.unpack_from("<IHHI", info, at)
            found[ordinal] = offset, flags >> 18
        at += size
    end = 0
    for ordinal in range(len(found)):
        offset, size = found.get(ordinal, (-1, 1))
        end = -(-end // size) * size
        if offset != end:
            raise ExportError(f"the cubin's parameter {ordinal} lies at {offset}; expected {end}")
        end += size
    return [found[ordinal][1] for ordinal in range(len(found))]


def _section(elf: bytes, name: str) -> bytes:
    """A section of a 64-bit ELF file."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    texts = headers[names][4]
    for label, _, _, _, offset, length in headers:
        start = texts + label
        if elf[start : elf.index(b"\0", start)].decode() == name:
            return elf[offset : offset + length]
    raise ExportError(f"the cubin has no section {name}")
