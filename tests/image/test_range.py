"""What numbers mean: 1 is white in floats, 65535 in 32-bit integers, and no scale is guessed."""

import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from imagen_fast import ImageError, ImageWarning, load, upscale
from imagen_fast.image.array import from_array
from imagen_fast.image.pillow import from_pil
from imagen_fast.image.read import read

GREY = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)


def with_one(value):
    """A grey ramp from 0 to 1 with one sample of another value in the middle."""
    values = GREY.copy()
    values[3, 4] = value
    return values


def warned(function):
    """What a function returns, and the texts of its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ImageWarning)
        returned = function()
    return returned, [str(warning.message) for warning in caught]


def of_array(values, _):
    (color, _), texts = warned(lambda: from_array(values))
    return color, texts


def of_pillow(values, _):
    picture = from_pil(Image.fromarray(values))
    return picture.color / 65535, list(picture.notes)


def of_file(values, folder):
    tifffile.imwrite(folder / "x.tif", values, photometric="minisblack", metadata=None)
    picture, texts = warned(lambda: read(folder / "x.tif"))
    return picture.color / 65535, texts


WAYS = pytest.mark.parametrize("taken", [of_array, of_pillow, of_file])


@WAYS
@pytest.mark.parametrize("value", [1.0003, 1.01, -0.004, -0.01])
def test_floats_a_little_beyond_are_clipped_and_said(tmp_path, taken, value):
    color, notes = taken(with_one(value), tmp_path)
    assert np.abs(color[..., 0] - with_one(value).clip(0, 1)).max() < 1e-5
    [note] = notes
    assert "clipped to 0 to 1" in note
    assert f"{value:g}" in note


def test_what_was_clipped_is_said_once():
    """Also where a picture is looked at before, to choose a model."""
    for picture in (with_one(1.01), Image.fromarray(with_one(1.01))):
        assert len(warned(lambda picture=picture: upscale(picture, 2))[1]) == 1


@WAYS
def test_floats_from_0_to_1_need_no_word(tmp_path, taken):
    color, notes = taken(GREY, tmp_path)
    assert np.abs(color[..., 0] - GREY).max() < 1e-5
    assert notes == []


@WAYS
@pytest.mark.parametrize("value", [1.011, 2, 255, 65535, -0.011, -1, np.nan, np.inf, -np.inf])
def test_other_floats_are_refused_and_told_how_to_divide(tmp_path, taken, value):
    """NaN hides from comparisons unless it comes first, and Pillow does not see it."""
    with pytest.raises(ImageError, match="255 or 65535") as caught:
        taken(with_one(value), tmp_path)
    assert "divide them by the value that is white" in str(caught.value)


def test_floats_that_are_alpha_count_as_well():
    values = np.dstack([GREY, GREY])
    values[2, 2, 1] = 1.004
    with pytest.warns(ImageWarning, match=r"1\.004 .*clipped"):
        _, alpha = from_array(values)
    assert alpha.max() == 1


@pytest.mark.parametrize("white", [255, 1000, 65535, 4_000_000_000])
def test_dividing_as_told_is_taken(white):
    floats = Image.fromarray(GREY * np.float32(white))
    with pytest.raises(ImageError) as caught:
        from_pil(floats)
    assert "image.point(lambda v: v / white)" in str(caught.value)
    picture = from_pil(floats.point(lambda v: v / white))
    assert np.abs(picture.color[..., 0] / 65535 - GREY).max() < 1e-4


def test_integers_of_32_bits_count_to_65535():
    values = np.int32([[0, 256, 65535]])
    picture = from_pil(Image.fromarray(values))
    np.testing.assert_array_equal(picture.color[..., 0], values)
    assert picture.notes == ()


@pytest.mark.parametrize("value", [65536, 70_000, 2**31 - 1, -1])
def test_integers_beyond_are_refused_and_told_how_to_divide(tmp_path, value):
    image = Image.fromarray(np.int32([[0, 300, value]]))
    image.save(tmp_path / "x.tif")
    for way in (lambda: from_pil(image), lambda: read(tmp_path / "x.tif")):
        with pytest.raises(ImageError, match="expected 0 to 65535: divide them by the value"):
            way()
    if value > 0:
        scaled = from_pil(image.point(lambda v: v * (65535 / value)))
        assert scaled.color.max() == 65535


def test_integers_that_are_nearly_black_are_said(tmp_path):
    """Those of 0 to 255 would be: they are not stretched, as nothing says what they are."""
    image = Image.fromarray(np.int32([[0, 51, 255]]))
    picture = from_pil(image)
    assert picture.color.max() == 255
    [note] = picture.notes
    assert "nearly black" in note
    assert from_pil(Image.new("I", (4, 4))).notes == ()  # black is black on any scale
    with load("sr-x2", backend="fake") as engine, pytest.warns(ImageWarning, match="nearly black"):
        engine(image)


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        ("float64", "picture.astype(numpy.float32)"),
        ("float16", "picture.astype(numpy.float32)"),
        ("bool", "picture * numpy.uint8(255)"),
        ("int8", "picture.astype(numpy.uint8) where 255 is white"),
        ("int16", "numpy.uint16 where 65535 is"),
        ("uint32", "numpy.uint16 where 65535 is"),
        ("int64", "numpy.uint16 where 65535 is"),
        ("complex64", "from 0 to 1"),
        ("U1", "from 0 to 1"),
    ],
)
def test_arrays_of_other_dtypes_are_refused_with_the_conversion(dtype, remedy):
    with pytest.raises(ImageError, match="expected uint8, uint16, or float32") as caught:
        from_array(np.zeros((3, 4), dtype))
    assert str(caught.value).endswith(remedy) or f"{remedy}," in str(caught.value)


def test_a_file_that_is_clipped_is_named(tmp_path):
    """By the API too, and though the picture is turned on its way."""
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, with_one(1.0003), metadata=None, extratags=[(274, "H", 1, 6, True)])
    with pytest.warns(ImageWarning, match=rf"{path}: its floats go from 0 to 1\.0003"):
        written = upscale(path, 2, backend="fake")
    result = read(written)
    assert result.color.dtype == np.uint16
    expected = np.rot90(with_one(1.0003), -1).clip(0, 1).repeat(2, 0).repeat(2, 1)
    assert np.abs(result.color[..., 0] / 65535 - expected).max() < 1e-4
