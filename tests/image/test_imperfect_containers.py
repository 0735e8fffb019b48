"""All pixels are there and the file around them is not as it should be: they are read."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from containers import VIDEO, encoded, entry, png, tiff
from PIL import Image

from imagen_fast import ImageError, upscale
from imagen_fast.image.png_chunks import chunk
from imagen_fast.image.read import read

JPEGS = {
    "baseline": {"quality": 90},
    "optimised": {"quality": 90, "optimize": True},
    "progressive": {"quality": 90, "progressive": True},
    "restarts": {"quality": 90, "restart_marker_blocks": 3},
    "subsampled": {"quality": 80, "subsampling": "4:2:0"},
    "grey": {"mode": "L"},
    "inks": {"mode": "CMYK"},
}


def read_bytes(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    return read(path)


def same(picture, samples):
    np.testing.assert_array_equal(
        picture.color, samples if samples.ndim == 3 else samples[..., None]
    )


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_needs_no_end_mark_and_may_have_anything_behind_it(tmp_path, photo, kind):
    whole = encoded(photo, "JPEG", **JPEGS[kind])
    expected = read_bytes(tmp_path, whole).color
    for content in (
        whole[:-2],
        whole[:-1],  # half of it
        whole[:-2] + VIDEO,
        whole + VIDEO,
        whole + bytes(1000),
        whole + whole,
    ):
        same(read_bytes(tmp_path, content), expected)


@pytest.mark.parametrize("behind", [b"", VIDEO, b"\xff\xd8\xff\xe1"], ids=["none", "video", "jpeg"])
@pytest.mark.parametrize("kind", ["baseline", "optimised", "progressive", "restarts"])
def test_a_jpeg_of_which_picture_data_is_missing_stays_an_error(tmp_path, photo, kind, behind):
    whole = encoded(photo, "JPEG", **JPEGS[kind])[:-2]
    expected = read_bytes(tmp_path, whole).color
    for missing in (3, 5, 17, 60, 200, 1000, len(whole) // 2, len(whole) - 700):
        try:
            found = read_bytes(tmp_path, whole[:-missing] + behind).color
        except ImageError:
            continue
        # The last bits of a file can be without any effect, but nothing else.
        assert missing == 3
        np.testing.assert_array_equal(found, expected)


def test_a_jpeg_of_flat_colour_of_which_picture_data_is_missing_stays_an_error(tmp_path):
    for colour in ((255, 255, 255), (0, 0, 0), (200, 30, 90)):
        flat = np.full((256, 256, 3), colour, np.uint8)
        for options in ({}, {"optimize": True}, {"progressive": True}):
            ended = encoded(flat, "JPEG", **options)
            whole = ended[:-2]
            same(read_bytes(tmp_path, whole), read_bytes(tmp_path, ended).color)
            for missing in (20, 60):
                with pytest.raises(ImageError, match="missing"):
                    read_bytes(tmp_path, whole[:-missing])


def test_a_progressive_jpeg_without_its_last_scans_stays_an_error(tmp_path, photo):
    whole = encoded(photo, "JPEG", progressive=True)
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for scan in scans[1:]:
        with pytest.raises(ImageError, match="missing"):
            read_bytes(tmp_path, whole[:scan])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_png_may_end_behind_its_last_pixel(tmp_path, photo, dtype):
    samples = photo.astype(dtype) * (257 if dtype == np.uint16 else 1)
    for behind in (
        b"",
        b"\0\0\0\0IE",
        b"\0\0\0\0IEND\1\2\3\4",
        b"\0\0\1\0tEXtcut off",
        chunk(b"IEND") + VIDEO,
        b"no chunk at all",
    ):
        same(read_bytes(tmp_path, png(samples, behind=behind)), samples)
    without_checksums = png(samples, behind=b"")[:-8]
    same(read_bytes(tmp_path, without_checksums), samples)
    with pytest.raises(ImageError):
        read_bytes(tmp_path, without_checksums[:-40])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_either_checksum_vouches_for_the_pixels_of_a_png(tmp_path, photo, dtype):
    samples = photo.astype(dtype)

    def summed_wrongly(stream):
        return stream[:-4] + bytes(4)

    def damaged(stream):
        middle = len(stream) // 2
        return stream[:middle] + bytes([stream[middle] ^ 16]) + stream[middle + 1 :]

    same(read_bytes(tmp_path, png(samples, data=summed_wrongly)), samples)
    whole = png(samples)
    crc = whole.index(b"IEND") - 8
    same(read_bytes(tmp_path, whole[:crc] + bytes(4) + whole[crc + 4 :]), samples)
    broken = png(samples, data=damaged)
    with pytest.raises(ImageError):
        read_bytes(tmp_path, broken[:crc] + bytes(4) + broken[crc + 4 :])


def test_a_gif_needs_no_trailer(tmp_path, photo):
    whole = encoded(photo, "GIF")
    expected = read_bytes(tmp_path, whole).color
    for content in (whole[:-1], whole[:-2], whole + b"behind", whole + VIDEO):
        same(read_bytes(tmp_path, content), expected)
    with pytest.raises(ImageError):
        read_bytes(tmp_path, whole[:-500])


def test_a_bmp_needs_no_padding_behind_its_last_row(tmp_path, photo):
    narrow = np.ascontiguousarray(photo[:, :159])  # rows of 477 bytes and 3 more
    whole = encoded(narrow, "BMP")
    same(read_bytes(tmp_path, whole[:-3]), narrow)
    with pytest.raises(ImageError):
        read_bytes(tmp_path, whole[:-480])


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_may_state_a_wrong_length(tmp_path, photo, lossless):
    whole = encoded(photo, "WEBP", lossless=lossless)
    expected = read_bytes(tmp_path, whole).color
    for length in (0, 100, len(whole), len(whole) + 99, 2**32 - 1):
        same(read_bytes(tmp_path, whole[:4] + struct.pack("<I", length) + whole[8:]), expected)
    same(read_bytes(tmp_path, whole + VIDEO), expected)
    with pytest.raises(ImageError):
        read_bytes(tmp_path, whole[: len(whole) // 2])


JPEGS_2000 = {
    "whole": {},
    "codestream": {"no_jp2": True},
    "tiles": {"tile_size": (32, 48)},
    "layers": {"quality_layers": [20, 5, 1], "irreversible": True},
}


@pytest.mark.parametrize("kind", JPEGS_2000)
def test_a_jpeg_2000_needs_no_end_mark_and_may_have_anything_behind_it(tmp_path, photo, kind):
    whole = encoded(photo, "JPEG2000", **JPEGS_2000[kind])
    expected = read_bytes(tmp_path, whole).color
    for content in (whole[:-2], whole[:-1], whole + VIDEO, whole + bytes(1000), whole + whole):
        same(read_bytes(tmp_path, content), expected)
    for missing in (3, 4, 5, 17, 200, 1000, len(whole) // 2):
        for end in (b"", b"\xff\xd9"):
            with pytest.raises(ImageError):
                read_bytes(tmp_path, whole[:-missing] + end)


def test_a_jpeg_2000_of_which_tiles_are_missing_stays_an_error(tmp_path, photo):
    whole = encoded(photo, "JPEG2000", tile_size=(32, 48), no_jp2=True)
    starts = [at for at in range(len(whole)) if whole[at : at + 4] == b"\xff\x90\0\n"]
    assert len(starts) == 15
    for start in starts[1:]:  # all that comes before it is whole
        for end in (b"", b"\xff\xd9"):
            with pytest.raises(ImageError, match="some of its picture is missing"):
                read_bytes(tmp_path, whole[:start] + end)
    parts = whole[: starts[3]] + whole[starts[4] :]  # one in the middle
    with pytest.raises(ImageError, match="some of its picture is missing"):
        read_bytes(tmp_path, parts)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_may_state_wrong_lengths_of_what_is_not_compressed(tmp_path, photo, dtype):
    samples = photo.astype(dtype)
    for values in ({"code": 60_000}, {"value": 0}, {"value": 10_000_000}):
        content = tiff(samples, lambda data, at, new=values: entry(data, at[279], **new))
        same(read_bytes(tmp_path, content), samples)
    for options in ({"tile": (16, 32)}, {"rowsperstrip": 50}, {"planarconfig": "separate"}):
        stored = np.moveaxis(samples, 2, 0) if "planarconfig" in options else samples
        tag = 325 if "tile" in options else 279
        content = tiff(stored, lambda d, at, tag=tag: entry(d, at[tag], code=60_000), **options)
        same(read_bytes(tmp_path, content), samples)
    whole = tiff(samples, lambda data, at: None)
    same(read_bytes(tmp_path, whole), samples)
    with tifffile.TiffFile(tmp_path / "x") as file:
        end = file.pages[0].dataoffsets[0] + samples.nbytes
    assert end == len(whole)
    with pytest.raises(ImageError, match="truncated"):
        read_bytes(tmp_path, whole[:-1])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_may_point_to_a_next_page_that_is_none(tmp_path, photo, dtype, compression):
    samples = photo.astype(dtype)

    def astray(data, at):
        struct.pack_into("<I", data, at[None], 0x7FFFFFF0)

    same(read_bytes(tmp_path, tiff(samples, astray, compression=compression)), samples)


def test_the_api_enlarges_a_photograph_with_a_film_behind_it(tmp_path, photo):
    (tmp_path / "x.jpg").write_bytes(encoded(photo, "JPEG")[:-2] + VIDEO)
    with Image.open(upscale(tmp_path / "x.jpg", 2, backend="fake")) as large:
        assert large.size == (320, 240)


def test_compressed_data_that_says_another_window_than_it_has_is_read(tmp_path, photo):
    """Some encoders state a window of 256 bytes whatever they use; viewers do not mind."""

    def narrow(stream):
        return b"\x08\x1d" + stream[2:]

    assert zlib.decompressobj().decompress(narrow(zlib.compress(bytes(9)))) == bytes(9)
    same(read_bytes(tmp_path, png(photo, data=narrow)), photo)
