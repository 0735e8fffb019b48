"""AVIF, JPEG 2000, TGA and MPO are read, AVIF is written; what is not read is named."""

import io
import struct

import numpy as np
import pytest
from icc_profiles import wide_rgb
from PIL import Image

from imagen_fast.errors import ImageError
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.read import read
from imagen_fast.image.write import check_output, write


@pytest.mark.parametrize("name", ["x.jp2", "x.j2k", "x.tga", "x.TGA", "x.mpo"])
def test_they_are_read_as_pillow_reads_them(tmp_path, photo, name):
    options = (
        {"save_all": True, "append_images": [Image.new("RGB", (9, 9))]} if "mpo" in name else {}
    )
    Image.fromarray(photo).save(tmp_path / name, **options)
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(image)
    np.testing.assert_array_equal(read(tmp_path / name).color, expected)


@pytest.mark.parametrize("ext", ["jp2", "tga", "avif"])
def test_grey_and_alpha_stay(tmp_path, photo, ext):
    lossless = {"avif": {"quality": 100, "subsampling": "4:4:4"}}.get(ext, {})
    rgba = np.dstack([photo, photo[..., 0]])
    Image.fromarray(rgba).save(tmp_path / f"a.{ext}", **lossless)
    found = read(tmp_path / f"a.{ext}")
    np.testing.assert_array_equal(found.alpha, rgba[..., 3])
    assert np.abs(found.color.astype(int) - photo).max() <= 3 * (ext == "avif")
    Image.fromarray(photo[..., 1]).save(tmp_path / f"g.{ext}", **lossless)
    assert np.abs(read(tmp_path / f"g.{ext}").color[..., 0].astype(int) - photo[..., 1]).max() <= 1


def test_deep_grey_of_jpeg_2000_stays_deep(tmp_path, photo):
    deep = photo[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "x.jp2")
    np.testing.assert_array_equal(read(tmp_path / "x.jp2").color[..., 0], deep)


def test_jpeg_2000_carries_its_profile(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "x.jp2")
    file = (tmp_path / "x.jp2").read_bytes()
    at = file.index(b"colr") - 4
    (old,) = struct.unpack_from(">I", file, at)
    color = b"\2\0\0" + wide_rgb()
    color = struct.pack(">I4s", 8 + len(color), b"colr") + color
    head = file.index(b"jp2h") - 4
    (length,) = struct.unpack_from(">I", file, head)
    grown = struct.pack(">I", length - old + len(color))
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + b"<x/>"
    xmp = struct.pack(">I4s", 8 + len(xmp), b"uuid") + xmp
    body = grown + file[head + 4 : at] + color + file[at + old : head + length]
    (tmp_path / "x.jp2").write_bytes(file[:head] + body + xmp + file[head + length :])
    found = read(tmp_path / "x.jp2")
    assert found.metadata.icc == wide_rgb()
    assert found.metadata.xmp == b"<x/>"
    np.testing.assert_array_equal(found.color, photo)


def test_alpha_of_tga_that_was_never_set_hides_nothing(tmp_path, photo):
    Image.fromarray(np.dstack([photo, np.zeros_like(photo[..., 0])])).save(tmp_path / "x.tga")
    found = read(tmp_path / "x.tga")
    assert found.alpha is None
    np.testing.assert_array_equal(found.color, photo)


def test_tga_pixels_that_pillow_would_show_black_are_refused(tmp_path):
    head = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 4, 4, 8, 0)  # colour of 8 bits
    (tmp_path / "x.tga").write_bytes(head + bytes(16))
    with pytest.raises(ImageError, match="kind of pixels is not handled"):
        read(tmp_path / "x.tga")


def test_avif_is_written_close_with_what_it_carries(tmp_path, photo, exif_bytes):
    data = Metadata(wide_rgb(), exif_bytes(), b"<x/>")
    write(tmp_path / "x.avif", Picture(photo, photo[..., 2], data))
    with Image.open(tmp_path / "x.avif") as image:
        assert image.format == "AVIF"
        assert image.mode == "RGBA"
        assert image.info["icc_profile"] == data.icc
        assert image.getexif()[0x010F] == "Maker"
    found = read(tmp_path / "x.avif")
    assert np.abs(found.color.astype(int) - photo).mean() < 3
    assert found.metadata.xmp == b"<x/>"
    write(tmp_path / "y.avif", Picture(photo), quality=30)
    assert (tmp_path / "y.avif").stat().st_size < (tmp_path / "x.avif").stat().st_size / 2


def test_avif_that_could_not_be_read_again_is_not_written(tmp_path):
    for height, width in ((1, 2**15 + 1), (2**14 + 16, 2**14)):
        with pytest.raises(ImageError, match="do not fit into AVIF"):
            check_output(tmp_path / "x.avif", height, width)
    write(tmp_path / "x.avif", Picture(np.zeros((1, 2**15, 1), np.uint8)))
    assert read(tmp_path / "x.avif").width == 2**15


def test_colours_of_avif_that_are_not_those_of_srgb_are_kept(tmp_path, photo):
    out = io.BytesIO()
    Image.fromarray(photo).save(out, "AVIF")
    file = out.getvalue()
    at = file.index(b"nclx") + 4
    wide = file[:at] + struct.pack(">HH", 9, 16) + file[at + 4 :]  # BT.2020, PQ
    (tmp_path / "plain.avif").write_bytes(file)
    (tmp_path / "wide.avif").write_bytes(wide)
    assert read(tmp_path / "plain.avif").metadata.png == ()
    picture = read(tmp_path / "wide.avif")
    write(tmp_path / "x.png", picture)
    assert read(tmp_path / "x.png").metadata.png == ((b"cICP", bytes([9, 16, 0, 1])),)


def test_a_turned_avif_is_upright(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(tmp_path / "x.avif", exif=exif, quality=90)
    upright = np.rot90(photo, -1)
    found = read(tmp_path / "x.avif").color
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 5


@pytest.mark.parametrize(
    ("marker", "bits", "said"),
    [
        (0xC0, 12, "a JPEG of 12 bits a sample"),
        (0xC1, 12, "a JPEG of 12 bits a sample"),
        (0xC2, 16, "a JPEG of 16 bits a sample"),
        (0xC3, 8, "a lossless JPEG"),
        (0xF7, 8, "a lossless JPEG"),  # JPEG-LS
    ],
)
def test_kinds_of_jpeg_that_cannot_be_read_are_named(tmp_path, photo, marker, bits, said):
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG")
    content = bytearray(file.getvalue())
    frame = content.index(b"\xff\xc0")
    content[frame + 1], content[frame + 4] = marker, bits
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=f"it is {said}, which cannot be read: convert it to PNG"):
        read(tmp_path / "x.jpg")


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is HEIC, which cannot be read: convert"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix", "it is HEIC"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "it is JPEG XL"),
        (b"\xff\x0a\xfa\x1f", "it is JPEG XL"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "it is a camera's raw file"),
        (b"8BPS\0\1", "it is a Photoshop document"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "it is a video"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, start, said):
    path = tmp_path / "x.jpg"  # whatever it is called
    path.write_bytes(start + bytes(200))
    with pytest.raises(ImageError, match=said):
        read(path)
