"""Metadata that is damaged, or larger than usual, never decides whether the pixels are read."""

import random
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from containers import encoded, entry, png, segment, tiff, with_segments, wrong
from icc_profiles import linear_grey, press_cmyk, wide_rgb
from PIL import Image

from imagen_fast import ImageError, ImageWarning, load, upscale
from imagen_fast.image import profile
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.png_chunks import chunk
from imagen_fast.image.read import read
from imagen_fast.image.write import FORMATS, write

XMP = b"XML:com.adobe.xmp\0\0\0\0\0<x/>"


def large_profile(size):
    """A profile of so many bytes, which no compression makes small."""
    whole = wide_rgb() + random.Random(2).randbytes(size - len(wide_rgb()))
    return struct.pack(">I", size) + whole[4:]


def read_bytes(tmp_path, content, *said):
    """The picture, whose reading warns of each thing that is `said`, and of nothing else."""
    path = tmp_path / "x"
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ImageWarning)
        picture = read(path)
    texts = [str(w.message) for w in caught if w.category is ImageWarning]
    assert len(texts) == len(said), texts
    for text, word in zip(texts, said, strict=True):
        assert text.startswith(f"{path}: ")
        assert word in text
    return picture


CHUNKS = {
    b"tEXt": b"Title\0a holiday",
    b"zTXt": b"Title\0\0" + zlib.compress(b"a holiday"),
    b"iTXt": XMP,
    b"pHYs": struct.pack(">IIB", 11811, 11811, 1),
    b"eXIf": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": bytes(32),
    b"sRGB": b"\0",
    b"cICP": bytes([9, 16, 0, 1]),
    b"tRNS": bytes(6),
    b"acTL": struct.pack(">II", 5, 0),
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_chunk_with_a_wrong_checksum_or_length_is_left_out(tmp_path, photo, name, dtype):
    samples = photo.astype(dtype)
    whole = chunk(name, CHUNKS[name])
    parts = [wrong(whole), *([chunk(name, CHUNKS[name][:-1])] if name[1:] != b"EXt" else [])]
    if name in (b"zTXt", b"iTXt", b"eXIf"):  # of other keys, or as good without its last byte
        del parts[1]
    for part in parts:
        found = read_bytes(tmp_path, png(samples, part), name.decode())
        np.testing.assert_array_equal(found.color, samples)
        assert found.alpha is None
        assert found.metadata == Metadata(lost=found.metadata.lost)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_profile_with_a_wrong_chunk_checksum_is_kept_if_its_own_is_right(tmp_path, photo, dtype):
    samples = photo.astype(dtype)
    stream = zlib.compress(wide_rgb())
    found = read_bytes(tmp_path, png(samples, wrong(chunk(b"iCCP", b"name\0\0", stream))))
    assert found.metadata.icc == wide_rgb()
    for broken in (stream[:50] + b"????" + stream[54:], stream[:-4] + bytes(4), stream[:-9]):
        part = wrong(chunk(b"iCCP", b"name\0\0", broken))
        found = read_bytes(tmp_path, png(samples, part), "iCCP")
        assert found.metadata.icc is None
        np.testing.assert_array_equal(found.color, samples)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_with_a_large_profile_is_read(tmp_path, photo, dtype):
    icc = large_profile(1_500_000)
    part = chunk(b"iCCP", b"name\0\0", zlib.compress(icc))
    assert read_bytes(tmp_path, png(photo.astype(dtype), part)).metadata.icc == icc


@pytest.mark.parametrize("extension", [".png", ".tif", ".webp", ".jpg"])
def test_what_is_written_with_large_metadata_can_be_read(tmp_path, photo, extension):
    xmp = b"<x>" + b"y" * 3_000_000 + b"</x>"
    exif = b"II*\0\x08\0\0\0\1\0\x0e\1\2\0" + struct.pack("<II", 2_000_000, 26) + bytes(4)
    exif += b"d" * 1_999_999 + b"\0"
    Image.fromarray(photo).save(tmp_path / "in.jpg", icc_profile=large_profile(1_500_000))
    source = read(tmp_path / "in.jpg")
    assert source.metadata.icc == large_profile(1_500_000)
    for dtype in (np.uint8, np.uint16):
        color = source.color.astype(dtype)
        data = Metadata(source.metadata.icc, exif, xmp)
        path = tmp_path / f"out{extension}"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write(path, Picture(color, None, data))
        found = read(path).metadata
        assert found.icc == data.icc
        if extension == ".jpg":
            texts = [str(warning.message) for warning in caught]
            assert ["EXIF" in texts[0], "XMP" in texts[1]] == [True, True]
            assert (found.exif, found.xmp) == (None, None)
        else:
            rounded = extension == ".webp" and dtype == np.uint16
            assert ["8 bits" in str(warning.message) for warning in caught] == [True] * rounded
            assert found.xmp == xmp
            assert b"d" * 1_999_999 in found.exif


def test_the_api_enlarges_a_jpeg_with_a_large_profile_into_a_png_that_it_enlarges(tmp_path, photo):
    path = tmp_path / "x.jpg"
    Image.fromarray(photo[:20, :20]).save(path, icc_profile=large_profile(1_500_000))
    once = upscale(path, 2, backend="fake")
    assert read(upscale(once, 2, backend="fake")).metadata.icc == large_profile(1_500_000)


def test_a_profile_larger_than_every_format_holds_is_left_out(tmp_path, photo):
    path = tmp_path / "x.webp"
    Image.fromarray(photo).save(path, icc_profile=large_profile(profile.LARGEST + 1))
    with pytest.warns(ImageWarning, match="larger than any should be"):
        assert read(path).metadata.icc is None
    Image.fromarray(photo).save(path, icc_profile=large_profile(profile.LARGEST))
    for extension in (".jpg", ".png"):
        write(tmp_path / f"y{extension}", read(path))
        assert read(tmp_path / f"y{extension}").metadata.icc == large_profile(profile.LARGEST)


def test_jpeg_segments_that_are_too_short_are_left_out(tmp_path, photo):
    whole = encoded(photo, "JPEG")
    expected = read_bytes(tmp_path, whole).color
    for part in (
        segment(0xE0, b"JFIF\0"),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"ICC_PROFILE\0\1"),
        segment(0xED, b"Photoshop 3.0\0008BIM\4\4"),
        segment(0xEE, b"Adobe"),
        segment(0xE2, b"MPF\0"),
        segment(0xFE, b""),
    ):
        found = read_bytes(tmp_path, with_segments(whole, part))
        np.testing.assert_array_equal(found.color, expected)


def test_a_jpeg_without_all_parts_of_its_profile_is_read_without_it(tmp_path, photo):
    part = segment(0xE2, b"ICC_PROFILE\0\1\2" + wide_rgb())  # one of two
    found = read_bytes(tmp_path, with_segments(encoded(photo, "JPEG"), part), "colour profile")
    assert found.metadata.icc is None


def test_a_webp_whose_metadata_is_cut_off_is_read_without_it(tmp_path, photo):
    options = {"lossless": True, "icc_profile": wide_rgb(), "xmp": b"<x>long enough</x>"}
    whole = encoded(photo, "WEBP", **options)
    assert read_bytes(tmp_path, whole).metadata.xmp == options["xmp"]
    found = read_bytes(tmp_path, whole[:-5], "XMP is cut off")
    np.testing.assert_array_equal(found.color, photo)
    assert (found.metadata.icc, found.metadata.xmp) == (wide_rgb(), None)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("name", "tag"), [("ICC", 34675), ("XMP", 700), ("description", 270)])
def test_tiff_tags_that_reach_behind_the_file_are_left_out(
    tmp_path, photo, dtype, compression, name, tag
):
    samples = photo.astype(dtype)
    options = {
        "ICC": {"iccprofile": wide_rgb()},
        "XMP": {"extratags": [(700, 1, 40, b"<x>" + b"y" * 33 + b"</x>", True)]},
        "description": {"description": "a holiday"},
    }[name]

    def astray(data, at):
        entry(data, at[tag], count=100_000_000)

    content = tiff(samples, astray, compression=compression, software=False, **options)
    found = read_bytes(tmp_path, content, f"tag {tag}")
    np.testing.assert_array_equal(found.color, samples)
    assert (found.metadata.icc, found.metadata.xmp, found.metadata.exif) == (None, None, None)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_xmp_that_is_no_xml_is_left_out(tmp_path, photo, extension):
    path = tmp_path / f"x{extension}"
    for packet in (b"<x>", b"<!DOCTYPE a><a/>", b"\xff\xfe<\0x\0/\0>\0"):
        if extension == ".png":
            path.write_bytes(png(photo, chunk(b"iTXt", XMP[:-4] + packet)))
        elif extension == ".tif":
            path.write_bytes(
                tiff(photo, lambda *_: None, extratags=[(700, 1, len(packet), packet, True)])
            )
        else:
            Image.fromarray(photo).save(path, xmp=packet)
        with pytest.warns(ImageWarning, match="its XMP is damaged"):
            found = read(path)
        assert found.color.shape == photo.shape
        assert found.metadata.xmp is None
    with pytest.warns(ImageWarning, match="its XMP is damaged"):
        write(path, Picture(photo, None, Metadata(xmp=b"<x>")))
    assert read(path).metadata.xmp is None


@pytest.mark.parametrize(
    ("mode", "icc", "said"),
    [
        ("L", wide_rgb(), "for RGB pixels, not for GRAY ones"),
        ("RGB", linear_grey(), "for GRAY pixels, not for RGB ones"),
        ("RGB", press_cmyk(), "for CMYK pixels, not for RGB ones"),
        ("CMYK", wide_rgb(), "for RGB pixels, not for CMYK ones"),
        ("RGB", wide_rgb()[:-10], "damaged"),
        ("RGB", b"no profile", "damaged"),
    ],
)
@pytest.mark.parametrize("extension", [".jpg", ".tif"])
def test_a_profile_that_does_not_fit_the_pixels_is_left_out(
    tmp_path, photo, extension, mode, icc, said
):
    path = tmp_path / f"x{extension}"
    Image.fromarray(photo).convert(mode).save(path, icc_profile=icc)
    with pytest.warns(ImageWarning, match=said):
        target = upscale(path, 2, backend="fake")
    with Image.open(target) as found:
        assert "icc_profile" not in found.info
        assert found.mode == ("L" if mode == "L" else "RGB")


@pytest.mark.parametrize("extension", sorted(FORMATS))
@pytest.mark.parametrize("channels", [1, 3])
def test_no_file_gets_a_profile_for_other_pixels(tmp_path, photo, extension, channels):
    icc = wide_rgb() if channels == 1 else linear_grey()
    with pytest.warns(ImageWarning, match="colour profile is for"):
        write(tmp_path / f"x{extension}", Picture(photo[..., :channels], None, Metadata(icc)))
    with Image.open(tmp_path / f"x{extension}") as found:
        assert not found.info.get("icc_profile")


def test_an_image_of_pillow_loses_a_profile_for_other_pixels(photo):
    image = Image.fromarray(photo[..., 0])
    image.info["icc_profile"] = wide_rgb()
    said = "the picture: its colour profile is for RGB"
    with load("sr-x2-tiny", backend="fake") as engine, pytest.warns(ImageWarning, match=said):
        large = engine(image)
    assert "icc_profile" not in large.info


@pytest.mark.parametrize("extension", [".webp", ".bmp"])
def test_a_profile_that_cannot_be_applied_where_it_has_to_be_is_left_out(
    tmp_path, photo, extension
):
    broken = linear_grey()[:132] + bytes(len(linear_grey()) - 132)  # its table of tags is empty
    with pytest.warns(ImageWarning, match="cannot carry it"):
        write(tmp_path / f"x{extension}", Picture(photo[..., :1], None, Metadata(broken)))
    assert read(tmp_path / f"x{extension}").color.shape[:2] == photo.shape[:2]


def test_a_palette_that_is_damaged_is_part_of_the_pixels(tmp_path, photo):
    content = encoded(photo, "PNG", mode="P")
    at = content.index(b"PLTE") + 4
    with pytest.raises(ImageError, match="palette"):
        read_bytes(tmp_path, content[:at] + b"\1\2\3" + content[at + 3 :])


def test_the_command_names_the_file_and_what_was_left_out(tmp_path, photo):
    (tmp_path / "x.png").write_bytes(png(photo, wrong(chunk(b"pHYs", bytes(9)))))
    command = [sys.executable, "-m", "imagen_fast", "upscale", "x.png", "-s", "2"]
    done = subprocess.run(
        [*command, "--backend", "fake"], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert done.returncode == 0
    assert done.stderr == "warning: x.png: its PNG chunk pHYs is damaged, so it is left out\n"
