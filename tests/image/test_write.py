"""What is written: exact samples and metadata, as readers that are not ours see them."""

import io
import zlib

import numpy as np
import png
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from icc_profiles import wide_rgb
from PIL import Image

from imagen_fast.image import tiff_write
from imagen_fast.image.picture import Metadata, Picture, eight_bits
from imagen_fast.image.read import read
from imagen_fast.image.write import FORMATS, open_writer, write

# Rows of more than a block, blocks of more than a row, single pixels, and one of neither.
SHAPES = [(1, 1), (1, 700), (700, 1), (37, 53), (3, 190_000), (2500, 211)]
KINDS = [(1, False), (1, True), (3, False), (3, True)]


def stored(path):
    """All samples of a PNG or TIFF by an independent reader: (H, W, C)."""
    if path.suffix == ".tif":
        samples = tifffile.imread(path)
    else:
        width, height, rows, info = png.Reader(bytes=path.read_bytes()).read()
        dtype = np.uint16 if info["bitdepth"] == 16 else np.uint8
        samples = np.array([np.asarray(row, dtype) for row in rows])
        samples = samples.reshape(height, width, info["planes"])
    return samples if samples.ndim == 3 else samples[..., None]


def whole(picture):
    parts = [picture.color] if picture.alpha is None else [picture.color, picture.alpha]
    return np.dstack(parts)


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "alpha"), KINDS)
def test_other_readers_find_the_exact_samples(tmp_path, picture, extension, dtype, channels, alpha):
    for height, width in SHAPES[:4]:
        original = picture(height, width, channels, alpha, dtype)
        path = tmp_path / f"x{extension}"
        write(path, original)
        found = stored(path).reshape(height, width, -1)  # tifffile drops sides of one
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, whole(original))


@pytest.mark.parametrize("extension", [".png", ".tif"])
@pytest.mark.parametrize(("height", "width"), SHAPES[4:])
def test_pillow_reads_many_blocks(tmp_path, picture, extension, height, width):
    original = picture(height, width)
    path = tmp_path / f"x{extension}"
    write(path, original)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), original.color)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_what_was_written_is_read(tmp_path_factory, picture, data):
    extension = data.draw(st.sampled_from([".png", ".tif", ".bmp", ".webp"]))
    channels, alpha = data.draw(st.sampled_from(KINDS))
    alpha = alpha and FORMATS[extension].alpha
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    height, width = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    original = picture(height, width, channels, alpha, dtype, seed=data.draw(st.integers(0, 99)))
    path = tmp_path_factory.mktemp("written") / f"x{extension}"
    samples = whole(original)
    with open_writer(path, height, width, channels, alpha, dtype, quality=100) as writer:
        cuts = data.draw(st.lists(st.integers(0, height), max_size=5))  # equal ones: no rows
        for strip in np.split(samples, sorted(cuts)):
            writer.write(strip)
    found = read(path)
    if not FORMATS[extension].deep:
        samples = eight_bits(samples)
    if extension == ".webp" and channels == 1:  # WebP has no grey
        samples = np.dstack([samples[..., [0, 0, 0]], samples[..., 1:]])
    np.testing.assert_array_equal(whole(found), samples)


def test_rows_may_be_reused_by_the_caller(tmp_path):
    rows = np.zeros((100, 50, 3), np.uint8)
    with open_writer(tmp_path / "x.png", 300, 50, 3) as writer:
        for value in (1, 2, 3):
            rows[:] = value
            writer.write(rows)
            rows[:] = 99
    assert read(tmp_path / "x.png").color[::100, 0, 0].tolist() == [1, 2, 3]


def test_sixteen_bits_round_to_the_nearest_eight():
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(eight_bits(every), np.round(every / 65535 * 255))


@pytest.mark.parametrize("extension", sorted(FORMATS))
def test_metadata_goes_in_and_comes_out(tmp_path, picture, exif_bytes, extension):
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + "é".encode() * 3000 + b"</x:xmpmeta>"
    data = Metadata(wide_rgb(), exif_bytes(), xmp, (300.0, 144.0))
    path = tmp_path / f"x{extension}"
    write(path, Picture(picture(120, 160).color, None, data))
    found = read(path).metadata
    if extension == ".bmp":  # which has no place for the rest
        assert (found.icc, found.exif, found.xmp) == (None, None, None)
    else:
        assert found.icc == data.icc
        assert found.xmp == xmp
        exif = Image.Exif()
        exif.load(found.exif)
        assert (exif[0x010F], exif[0x0110]) == ("Maker", "Model 7")
        assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
        assert exif.get_ifd(0x8825)[2] == (48.0, 51.0, 29.5)
    if extension not in (".webp", ".avif"):  # which have no place for it
        assert found.dpi == pytest.approx(data.dpi, abs=0.02)
    if extension in (".png", ".webp", ".jpg"):
        assert found.exif == data.exif  # every byte


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_pillow_finds_the_metadata(tmp_path, picture, exif_bytes, extension):
    data = Metadata(wide_rgb(), exif_bytes(), b"<x/>", (300.0, 144.0))
    path = tmp_path / f"x{extension}"
    write(path, Picture(picture(120, 160).color, None, data))
    with Image.open(path) as image:
        image.load()
        assert image.info["icc_profile"] == data.icc
        assert image.info["xmp"] == b"<x/>"
        assert image.getexif()[0x010F] == "Maker"


def test_tifffile_finds_the_metadata(tmp_path, picture, exif_bytes):
    for order in ("II", "MM"):
        data = Metadata(wide_rgb(), exif_bytes(order=order), b"<x/>", (300.0, 144.0))
        for dtype in (np.uint8, np.uint16):
            original = picture(120, 160, alpha=True, dtype=dtype)
            write(tmp_path / "x.tif", Picture(original.color, original.alpha, data))
            with tifffile.TiffFile(tmp_path / "x.tif") as file:
                tags = file.pages[0].tags
                assert file.byteorder == ("<" if order == "II" else ">")
                np.testing.assert_array_equal(file.pages[0].asarray(), whole(original))
                assert tags["InterColorProfile"].value == data.icc
                assert tags["XMP"].value == b"<x/>"
                assert tags["Make"].value == "Maker"
                assert tags["ExifTag"].value["DateTimeOriginal"] == "2024:05:06 07:08:09"
                assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
                assert tags["XResolution"].value == (300_000, 1000)
                assert tags["ExtraSamples"].value == (2,)  # alpha, not premultiplied


def test_bigtiff(tmp_path, picture, exif_bytes, monkeypatch):
    monkeypatch.setattr(tiff_write, "_REACH", 0)  # as if the picture were beyond 4 GiB
    original = picture(2500, 211, dtype=np.uint16, exif=exif_bytes(), dpi=(300.0, 300.0))
    path = tmp_path / "x.tif"
    write(path, original)
    assert path.read_bytes()[:4] == b"II+\0"
    np.testing.assert_array_equal(tifffile.imread(path), original.color)
    found = read(path)
    np.testing.assert_array_equal(found.color, original.color)
    assert b"2024:05:06 07:08:09" in found.metadata.exif
    assert found.metadata.dpi == (300.0, 300.0)


def test_a_picture_beyond_four_gigabytes_gets_64_bit_offsets():
    file = io.BytesIO()
    shape = (30_000, 60_000, 3)
    tiff_write.TiffWriter(file, shape, np.dtype(np.uint8), Metadata())
    assert file.getvalue()[:4] == b"II+\0"
    with tifffile.TiffFile(io.BytesIO(file.getvalue())) as read_back:
        page = read_back.pages[0]
        assert page.shape == shape
        assert (
            page.dataoffsets[-1] + page.databytecounts[-1] == len(file.getvalue()) + 5_400_000_000
        )


def test_size_in_exif_follows_the_picture(tmp_path, picture, exif_bytes):
    original = picture(240, 320, exif=exif_bytes())
    write(tmp_path / "x.png", original)
    exif = Image.Exif()
    exif.load(read(tmp_path / "x.png").metadata.exif)
    inner = exif.get_ifd(0x8769)
    assert (inner[0xA002], inner[0xA003]) == (320, 240)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_keeps_full_colour_resolution_and_quality(tmp_path, photo, channels):
    color = photo[..., :channels]
    write(tmp_path / "x.jpg", Picture(color))
    with Image.open(tmp_path / "x.jpg") as image:
        assert {component[1:3] for component in image.layer} == {(1, 1)}  # no subsampling
    difference = np.abs(read(tmp_path / "x.jpg").color.astype(int) - color)
    assert difference.mean() < 3  # of which the noise is 4
    write(tmp_path / "y.jpg", Picture(color), quality=30)
    assert (tmp_path / "y.jpg").stat().st_size < (tmp_path / "x.jpg").stat().st_size / 2


def test_webp_at_95_is_close_and_smaller_than_lossless(tmp_path, photo):
    write(tmp_path / "x.webp", Picture(photo))
    write(tmp_path / "y.webp", Picture(photo), quality=100)
    assert np.abs(read(tmp_path / "x.webp").color.astype(int) - photo).mean() < 4
    assert (tmp_path / "x.webp").stat().st_size < (tmp_path / "y.webp").stat().st_size / 2


@pytest.mark.parametrize("value", ["random", 0, 255])
@pytest.mark.parametrize("height", [1023, 1024, 1025, 2048, 3500])
def test_a_png_of_several_blocks_has_right_checksums(tmp_path, height, value):
    """Of every chunk, and of all the samples: readers such as ours do not ask for the latter."""
    rows = np.full((height, 1024), 0 if value == "random" else value, np.uint8)
    if value == "random":
        rows[:] = np.random.default_rng(height).integers(0, 256, rows.shape)
    write(tmp_path / "x.png", Picture(rows[..., None]))
    with (tmp_path / "x.png").open("rb") as file:
        chunks = list(png.Reader(file=file).chunks())  # which checks theirs
    stream = b"".join(data for name, data in chunks if name == b"IDAT")
    stored = zlib.decompress(stream)  # which checks the other one
    assert len(stored) == height * 1025
    assert int.from_bytes(stream[-4:], "big") == zlib.adler32(stored)


def test_png_is_small_on_smooth_pictures(tmp_path):
    y, x = np.mgrid[:500, :800]
    smooth = np.stack([x // 4, y // 4, (x + y) // 8], -1).astype(np.uint8)
    write(tmp_path / "x.png", Picture(smooth))
    assert (tmp_path / "x.png").stat().st_size < smooth.nbytes / 10
