"""What a PNG file says of its colours beside a profile: chunks gAMA, cHRM, sRGB and cICP.

They are carried from PNG to PNG, byte for byte, and interpreted only so far as to tell whether they
say anything else than sRGB, which is what a picture without them is taken for. PNG (Third Edition),
W3C, section 11.3.2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

Chunks: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""(name, data) of each."""

SIZES = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
"""Names, and bytes of the data of each."""

# What encoders write for sRGB, as recommended beside the chunk sRGB (section 11.3.2.5).
_GAMMA = 45455
CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
"""x and y of sRGB's white, red, green and blue, in 100,000ths."""
_TOLERANCE = 100
_PRIMARIES, _CURVE, _FULL = 1, 13, 1  # of sRGB, as cICP numbers them (ITU-T H.273)


def makes_sense(name: bytes, data: bytes) -> bool:
    """Whether this can be what a chunk of this name holds."""
    if len(data) != SIZES[name]:
        return False
    if name == b"sRGB":
        return data[0] <= 3  # rendering intents
    if name == b"cICP":
        return data[2] == 0 and data[3] <= 1  # RGB, of full range or not
    return name != b"gAMA" or any(data)


def beyond_srgb(chunks: Chunks, profile: bool) -> list[str]:
    """Names of the chunks that make the colours others than those of sRGB, or of the profile.

    cICP stands above a profile, a profile above sRGB, and that above gAMA and cHRM.
    """
    found = dict(chunks)
    if b"cICP" in found:
        primaries, curve, _, full = found[b"cICP"]
        return [] if (primaries, curve, full) == (_PRIMARIES, _CURVE, _FULL) else ["cICP"]
    if profile or b"sRGB" in found:
        return []
    expected = {b"gAMA": (_GAMMA,), b"cHRM": CHROMATICITIES}
    return [
        name.decode()
        for name, values in expected.items()
        if name in found and far(struct.unpack(f">{len(values)}I", found[name]), values)
    ]


def far(found: Sequence[float], expected: Sequence[float]) -> bool:
    """Whether numbers, in 100,000ths, are others than those expected."""
    return any(abs(a - b) > _TOLERANCE for a, b in zip(found, expected, strict=True))
