"""ICC profiles made by hand (ICC.1:2022), so that the tests need no files and know the answers."""

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values):
    return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))


def _profile(kind, space, connection, tags):
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", name, start + len(data), len(value))
        data += value
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, kind, space, connection)
    header += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*D50)
    return header.ljust(128, b"\0") + table + data


def _text(name, text):
    if name == b"cprt":
        return b"text\0\0\0\0" + text + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78)


def _common(text):
    return {b"desc": _text(b"desc", text), b"cprt": _text(b"cprt", b"none"),
            b"wtpt": b"XYZ \0\0\0\0" + _fixed(*D50)}  # fmt: skip


def _gamma(value):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def wide_rgb():
    """Gamma 2.2 with the primaries of Adobe RGB (1998), adapted to D50."""
    columns = {b"r": (0.60974, 0.31111, 0.01947), b"g": (0.20528, 0.62567, 0.06087),
               b"b": (0.14919, 0.06322, 0.74457)}  # fmt: skip
    tags = _common(b"wide RGB")
    for letter, xyz in columns.items():
        tags[letter + b"XYZ"] = b"XYZ \0\0\0\0" + _fixed(*xyz)
        tags[letter + b"TRC"] = _gamma(2.19921875)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def linear_grey():
    """Grey whose samples are proportional to light."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", _common(b"linear grey") | {b"kTRC": _gamma(1.0)})


# Lab of the sixteen mixtures of full inks: what a press could print, unlike Pillow's formula.
INKS = {(c, m, y, k): (100 - 25 * c - 20 * m - 5 * y - 45 * k, 30 * m - 30 * c, 50 * y - 30 * c)
        for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)}  # fmt: skip


def press_cmyk():
    """CMYK by a table of the mixtures of full inks, INKS, linear between them."""
    lab = np.array([INKS[key] for key in sorted(INKS)], float)
    grid = (
        np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], 1).round().astype(np.uint8)
    )
    ramp = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += ramp * 4 + grid.tobytes() + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", _common(b"press") | {b"A2B0": table})


def srgb_of_lab(lab):
    """CIELAB (D50) → sRGB, 0 to 255, by the definitions; Bradford-adapted matrix."""
    lab = np.asarray(lab, float)
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    matrix = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540],
                       [0.0719453, -0.2289914, 1.4052427]])  # fmt: skip
    linear = (xyz @ matrix.T).clip(0, 1)
    return 255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
