"""All eight orientations, compared with Pillow's own way of turning pictures upright."""

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageOps

from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.pillow import from_pil, to_pil
from imagen_fast.image.png_chunks import chunk
from imagen_fast.image.read import read
from imagen_fast.image.write import write

EIGHT = range(1, 9)


def upright(photo, orientation):
    image = Image.fromarray(photo)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


def with_exif_chunk(path, exif):
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(b"eXIf", exif) + data[33:])


@pytest.mark.parametrize("orientation", EIGHT)
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_eight_bits(tmp_path, photo, exif_bytes, extension, orientation):
    path = tmp_path / f"x{extension}"
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + exif_bytes(orientation))
    Image.fromarray(photo).save(path, exif=exif, quality=95, lossless=True)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    found = read(path)
    np.testing.assert_array_equal(found.color, expected)
    assert (orientation >= 5) == (found.color.shape[:2] == (160, 120))
    exif = Image.Exif()
    exif.load(found.metadata.exif)
    assert exif[0x0112] == 1
    assert exif[0x010F] == "Maker"
    write(path, found)  # and it is not applied once more
    again = read(path)
    assert again.color.shape == found.color.shape
    if extension != ".jpg":
        assert extension == ".webp" or (again.color == found.color).all()


@pytest.mark.parametrize("orientation", EIGHT)
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_images_and_paths_agree(tmp_path, photo, exif_bytes, extension, orientation):
    path = tmp_path / f"x{extension}"
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + exif_bytes(orientation))
    xmp = b'<rdf:Description tiff:Orientation="%d"/>' % orientation
    options = {} if extension == ".tif" else {"xmp": xmp}
    Image.fromarray(photo).save(path, exif=exif, dpi=(300, 100), lossless=True, **options)
    by_path = read(path)
    with Image.open(path) as image:
        by_image = from_pil(image)
    np.testing.assert_array_equal(by_image.color, by_path.color)
    if extension != ".tif":  # whose metadata Pillow does not put into `info`
        assert by_image.metadata == by_path.metadata
    # Neither Pillow nor this package turns it once more.
    again = to_pil(by_image)
    np.testing.assert_array_equal(ImageOps.exif_transpose(again), by_image.color)
    np.testing.assert_array_equal(from_pil(again).color, by_image.color)


@pytest.mark.parametrize("orientation", EIGHT)
def test_sixteen_bits(tmp_path, photo, exif_bytes, orientation):
    deep = photo.astype(np.uint16) * 250 + 77
    samples = np.dstack([deep, deep[..., 1]])
    with (tmp_path / "x.png").open("wb") as file:
        png.Writer(160, 120, greyscale=False, alpha=True, bitdepth=16).write_array(
            file, samples.ravel()
        )
    with_exif_chunk(tmp_path / "x.png", exif_bytes(orientation))
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(
        tmp_path / "x.tif", samples, photometric="rgb", extrasamples=[2], extratags=[tag]
    )
    coded = photo.copy()  # 250 v + 77 is turned as v is
    expected = upright(coded, orientation).astype(np.uint16) * 250 + 77
    for name in ("x.png", "x.tif"):
        found = read(tmp_path / name)
        assert found.color.dtype == np.uint16
        np.testing.assert_array_equal(found.color, expected)
        np.testing.assert_array_equal(found.alpha, expected[..., 1])


@pytest.mark.parametrize("orientation", [1, 6])
def test_what_else_says_how_the_picture_lies(tmp_path, photo, exif_bytes, orientation):
    xmp = b'<rdf:Description tiff:Orientation="%d" x="6"/>' % orientation
    data = Metadata(exif=exif_bytes(orientation), xmp=xmp, dpi=(300.0, 100.0))
    write(tmp_path / "x.jpg", Picture(photo, None, data))
    found = read(tmp_path / "x.jpg").metadata
    assert found.xmp == b'<rdf:Description tiff:Orientation="1" x="6"/>'
    assert found.dpi == ((300.0, 100.0) if orientation == 1 else (100.0, 300.0))


def test_a_thumbnail_that_lies_on_its_side_is_unlinked(tmp_path, photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = bytearray(exif.tobytes().removeprefix(b"Exif\0\0"))
    raw[22:26] = b"\0\0\0\x1a"  # behind the only entry: where the thumbnail's directory is
    raw += b"\0\0" * 8
    write(tmp_path / "x.png", Picture(photo, None, Metadata(exif=bytes(raw))))
    assert read(tmp_path / "x.png").metadata.exif[22:26] == bytes(4)
    raw[18:20] = b"\0\1"  # upright from the start
    write(tmp_path / "x.png", Picture(photo, None, Metadata(exif=bytes(raw))))
    assert read(tmp_path / "x.png").metadata.exif == bytes(raw)
