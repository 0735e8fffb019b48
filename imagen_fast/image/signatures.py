"""Pictures that cannot be read, told by their first bytes."""

from __future__ import annotations

BRANDS = 64  # bytes of a file that name its kind
_ADVICE = "which cannot be read: convert it to PNG, TIFF or JPEG first"
_SIGNATURES = {
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL",
    b"8BPS": "a Photoshop document",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"II\xbc\x01": "JPEG XR",
    b"qoif": "QOI",
    b"DDS ": "DDS",
    b"FUJIFILMCCD-RAW": "a camera's raw file",
    b"IIRO": "a camera's raw file",
    b"IIU\0": "a camera's raw file",
    b"%PDF": "a PDF document",
}
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def is_avif(start: bytes) -> bool:
    """Whether a file that begins so is AVIF, by one of its brands (ISO/IEC 14496-12)."""
    return any(brand in (b"avif", b"avis") for brand in _brands(start))


def unreadable(start: bytes) -> str | None:
    """What a file that begins so is, and what to do; None if that is unknown."""
    for signature, name in _SIGNATURES.items():
        if start.startswith(signature):
            return f"it is {name}, {_ADVICE}"
    brands = _brands(start)
    if b"crx " in brands:
        return f"it is a camera's raw file, {_ADVICE}"
    if any(brand in _HEIF for brand in brands):
        return f"it is HEIC, {_ADVICE}"
    return "it is a video, expected a picture" if brands else None


def _brands(start: bytes) -> list[bytes]:
    if start[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return [start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))]
