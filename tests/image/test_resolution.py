"""The resolution is what the file says; where it says nothing, none is made up."""

import numpy as np
import pytest
from PIL import Image

from imagen_fast.image.pillow import from_pil
from imagen_fast.image.read import read
from imagen_fast.image.write import write

X, Y, UNIT = 0x011A, 0x011B, 0x0128


def dpi_of_both(path):
    """Of the file, and of what Pillow opens; they agree."""
    with Image.open(path) as image:
        of_image = from_pil(image).metadata.dpi
        assert from_pil(image.copy()).metadata.dpi == of_image
    assert read(path).metadata.dpi == of_image
    return of_image


def exif(**values):
    block = Image.Exif()
    block[0x010F] = "Maker"
    for name, value in values.items():
        block[{"x": X, "y": Y, "unit": UNIT}[name]] = value
    return block


@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.webp", "x.tif", "x.bmp"])
def test_none_is_made_up(tmp_path, name):
    path = tmp_path / name
    Image.new("RGB", (20, 10)).save(path, exif=exif())
    expected = pytest.approx((96, 96), abs=0.1) if name == "x.bmp" else None  # which Pillow writes
    assert dpi_of_both(path) == expected
    if name == "x.jpg":
        write(tmp_path / "again.jpg", read(path))
        assert dpi_of_both(tmp_path / "again.jpg") is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"x": 240.0, "y": 240.0, "unit": 2}, (240, 240)),
        ({"x": 100.0, "y": 100.0, "unit": 3}, (254, 254)),
        ({"x": 72.0, "y": 72.0, "unit": 2}, (72, 72)),
        ({"x": 72.0, "y": 72.0}, (72, 72)),  # inches, unless it says otherwise
        ({"x": 1.0, "y": 1.0, "unit": 1}, None),
        ({"x": 1.0, "y": 1.0}, None),
        ({"unit": 2}, None),
    ],
)
def test_a_jpeg_file_says_it_in_exif(tmp_path, values, expected):
    path = tmp_path / "x.jpg"
    Image.new("RGB", (20, 10)).save(path, exif=exif(**values))
    assert dpi_of_both(path) == expected


@pytest.mark.parametrize("dpi", [(72, 72), (300, 150)])
def test_a_jpeg_file_says_it_in_its_header(tmp_path, dpi):
    path = tmp_path / "x.jpg"
    Image.new("RGB", (20, 10)).save(path, dpi=dpi, exif=exif(x=240.0, y=240.0, unit=2))
    assert dpi_of_both(path) == dpi
    data = bytearray(path.read_bytes())
    data[data.index(b"JFIF\0") + 7] = 2  # dots per centimetre
    path.write_bytes(data)
    assert dpi_of_both(path) == pytest.approx(np.multiply(dpi, 2.54))
