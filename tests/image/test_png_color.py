"""What PNG says of colours beside a profile goes through, if it is whole."""

import struct
from dataclasses import replace

import numpy as np
import png
import pytest
from icc_profiles import wide_rgb

from imagen_fast import upscale
from imagen_fast.image.png_chunks import chunk
from imagen_fast.image.read import read
from imagen_fast.image.write import write

GAMMA = struct.pack(">I", 100_000)  # linear light
CHROMATICITIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
WHOLE = {b"cICP": bytes([9, 16, 0, 1]), b"gAMA": GAMMA, b"cHRM": CHROMATICITIES, b"sRGB": b"\1"}


def chunks(path):
    """All chunks, by a reader that is not ours."""
    with path.open("rb") as file:
        return [(name, bytes(data)) for name, data in png.Reader(file=file).chunks()]


def png_with(path, parts, dtype=np.uint8):
    """A PNG file with these chunks right behind its header; depth of `dtype`."""
    depth = 8 * np.dtype(dtype).itemsize
    with path.open("wb") as file:
        writer = png.Writer(9, 7, greyscale=False, bitdepth=depth)
        writer.write_array(file, list(range(9 * 7 * 3)))
    data = path.read_bytes()
    path.write_bytes(data[:33] + b"".join(parts) + data[33:])
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", list(WHOLE))
def test_from_png_to_png(tmp_path, name, dtype):
    source = png_with(tmp_path / "x.png", [chunk(name, WHOLE[name])], dtype)
    found = chunks(upscale(source, 2, backend="fake"))
    assert [part for part in found if part[0] in WHOLE] == [(name, WHOLE[name])]
    names = [part[0] for part in found]
    assert names.index(name) < names.index(b"IDAT")


def test_a_profile_rules_out_srgb(tmp_path):
    source = png_with(tmp_path / "x.png", [chunk(*part) for part in WHOLE.items()])
    picture = read(source)
    write(tmp_path / "all.png", picture)
    assert dict(chunks(tmp_path / "all.png")).keys() > WHOLE.keys()
    managed = replace(picture.metadata, icc=wide_rgb())
    write(tmp_path / "managed.png", replace(picture, metadata=managed))
    found = dict(chunks(tmp_path / "managed.png"))
    assert b"sRGB" not in found
    assert {b"iCCP", b"cICP", b"gAMA", b"cHRM"} < found.keys()


@pytest.mark.parametrize("extension", [".jpg", ".webp", ".tif", ".bmp"])
def test_other_formats_leave_it_out(tmp_path, extension):
    source = png_with(tmp_path / "x.png", [chunk(*part) for part in WHOLE.items()])
    write(tmp_path / f"y{extension}", read(source))
    assert read(tmp_path / f"y{extension}").metadata.png == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_damaged_is_left_out(tmp_path, dtype):
    for parts in (
        [chunk(b"cICP", bytes([9, 16, 1, 1]))],  # not RGB
        [chunk(b"cICP", bytes(3))],
        [chunk(b"sRGB", b"\4")],
    ):
        assert read(png_with(tmp_path / "x.png", parts, dtype)).metadata.png == ()
    twice = [chunk(b"gAMA", GAMMA), chunk(b"gAMA", struct.pack(">I", 45455))]
    found = read(png_with(tmp_path / "x.png", twice, dtype)).metadata.png
    assert found == ((b"gAMA", GAMMA),)


def test_wrong_sizes_and_checksums_are_left_out(tmp_path):
    """In 16 bits, as Pillow refuses some of them as a whole."""
    for part in (
        chunk(b"gAMA", bytes(4)),
        chunk(b"gAMA", GAMMA * 2),
        chunk(b"gAMA", GAMMA)[:-1] + b"?",
        chunk(b"cHRM", CHROMATICITIES[:-4]),
        chunk(b"sRGB"),
    ):
        assert read(png_with(tmp_path / "x.png", [part], np.uint16)).metadata.png == ()
