"""Transparency that hides nothing, that was never meant, and that is laid on a colour."""

import io
import struct
from pathlib import Path

import numpy as np
import png
import pytest
import tifffile
from icc_profiles import linear_grey
from PIL import Image

from imagen_fast import ImageError, ImageWarning, upscale
from imagen_fast.image.background import color_of, laid_on, opaque_where_needed
from imagen_fast.image.picture import Metadata, Picture
from imagen_fast.image.pillow import from_pil
from imagen_fast.image.read import read

RNG = np.random.default_rng(3)
COLOR = RNG.integers(0, 256, (6, 8, 3), np.uint8)


def save_opaque(kind, path):
    """A picture that has alpha, which is full everywhere; its format is PNG or what `kind` says."""
    rgba = np.dstack([COLOR, np.full((6, 8), 255, np.uint8)])
    palette = Image.fromarray(COLOR).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    if kind == "RGBA":
        Image.fromarray(rgba).save(path, "PNG")
    elif kind == "grey":
        Image.fromarray(rgba).convert("LA").save(path, "PNG")
    elif kind == "16 bits":
        deep = rgba.astype(np.uint16) * 257
        with path.open("wb") as file:
            png.Writer(8, 6, greyscale=False, alpha=True, bitdepth=16).write_array(
                file, deep.ravel().tolist()
            )
    elif kind == "palette":
        palette.save(path, "PNG", transparency=bytes([255] * 16))
    elif kind == "unused key":
        Image.fromarray(COLOR | 1).save(path, "PNG", transparency=(0, 0, 0))
    elif kind == "GIF":
        palette.save(path, "GIF", transparency=200)
    elif kind == "TIFF":
        Image.fromarray(rgba).save(path, "TIFF")
    assert read(path).alpha is not None


@pytest.mark.parametrize(
    "kind", ["RGBA", "grey", "16 bits", "palette", "unused key", "GIF", "TIFF"]
)
@pytest.mark.parametrize("extension", [".jpg", ".bmp"])
def test_alpha_that_hides_nothing_is_no_hindrance(tmp_path, kind, extension):
    path = tmp_path / "in"
    save_opaque(kind, path)
    written = upscale(path, 2, output=tmp_path / f"out{extension}", backend="fake")
    found, expected = read(written), read(path).color.astype(float)
    assert found.alpha is None
    assert found.color.shape[:2] == (12, 16)
    scale = 257 if expected.max() > 255 else 1
    difference = np.abs(found.color[::2, ::2] - expected / scale)
    assert difference.mean() < (8 if extension == ".jpg" else 0.5)


def test_alpha_that_hides_nothing_stays_where_it_can(tmp_path):
    save_opaque("RGBA", tmp_path / "in")
    kept = read(upscale(tmp_path / "in", 2, output=tmp_path / "out.png", backend="fake"))
    assert kept.alpha is not None
    assert kept.alpha.min() == 255


def test_one_pixel_that_is_not_quite_opaque_is_not_lost(tmp_path):
    rgba = np.dstack([COLOR, np.full((6, 8), 255, np.uint8)])
    rgba[5, 7, 3] = 254
    Image.fromarray(rgba).save(tmp_path / "in.png")
    with pytest.raises(ImageError, match=r"keeps no transparency.*--background \(background\)"):
        upscale(tmp_path / "in.png", 2, output=tmp_path / "out.jpg", backend="fake")
    assert not (tmp_path / "out.jpg").exists()


def bmp(rgba):
    """A 32-bit BMP file that says where alpha is (BITMAPV4HEADER)."""
    height, width = rgba.shape[:2]
    data = np.ascontiguousarray(rgba[::-1, :, [2, 1, 0, 3]]).tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    size = 108
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, 32, 3, len(data), 0, 0, 0, 0)
    head = (head + struct.pack("<IIII", *masks)).ljust(size, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + size + len(data), 0, 0, 14 + size) + head + data


def tiff(rgba):
    """A TIFF file of four samples that does not say what the fourth one is."""
    file = io.BytesIO()
    tifffile.imwrite(file, rgba, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    content = file.getvalue()
    layout = struct.pack("<HHI", 338, 3, 1)  # ExtraSamples, which becomes a tag of no meaning
    assert content.count(layout) == 1
    return content.replace(layout, struct.pack("<HHI", 337, 3, 1))


def saved(kind):
    def make(rgba):
        file = io.BytesIO()
        Image.fromarray(rgba).save(file, kind)
        return file.getvalue()

    return make


def opened(content, tmp_path):
    """As `read` does, or for files that only Pillow opens, as the engine does."""
    (tmp_path / "in").write_bytes(content)
    if content[:2] in (b"BM", b"II", b"\x89P"):
        return read(tmp_path / "in")
    with Image.open(tmp_path / "in") as image:
        return from_pil(image)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [(bmp, np.uint8), (tiff, np.uint8), (tiff, np.uint16), (saved("TGA"), np.uint8)],
)
def test_alpha_that_a_format_leaves_unset_hides_nothing(tmp_path, make, dtype):
    hidden = np.dstack([COLOR, np.zeros((6, 8), np.uint8)]).astype(dtype)
    picture = opened(make(hidden), tmp_path)
    np.testing.assert_array_equal(picture.color, COLOR)
    assert picture.alpha is None
    hidden[2, 3, 3] = 9  # somebody set it
    alpha = opened(make(hidden), tmp_path).alpha
    np.testing.assert_array_equal(alpha, hidden[..., 3])


def test_alpha_of_0_is_meant_where_the_format_defines_it(tmp_path):
    hidden = np.dstack([COLOR, np.zeros((6, 8), np.uint8)])
    assert not opened(saved("PNG")(hidden), tmp_path).alpha.any()
    assert not opened(saved("TIFF")(hidden), tmp_path).alpha.any()
    assert not from_pil(Image.fromarray(hidden)).alpha.any()


@pytest.mark.parametrize(
    ("text", "color"),
    [("white", (255, 255, 255)), ("#fc0", (255, 204, 0)), ("#0080FF", (0, 128, 255)),
     ("rgb(1, 2, 3)", (1, 2, 3))],
)  # fmt: skip
def test_colours_by_name_and_number(text, color):
    assert color_of(text) == color


@pytest.mark.parametrize("text", ["", "blanc", "#12345", "#11223344", "rgb(300,0,0)", 7, None])
def test_what_is_no_colour(text):
    with pytest.raises(ImageError, match=r"no colour.*expected a name such as white"):
        color_of(text)


def test_a_background_shows_as_far_as_alpha_lets_it():
    alpha = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    found = laid_on(Picture(COLOR, alpha), (255, 204, 0))
    assert found.alpha is None
    behind = Image.new("RGBA", (8, 6), (255, 204, 0))
    behind.alpha_composite(Image.fromarray(np.dstack([COLOR, alpha])))
    difference = found.color.astype(int) - np.asarray(behind)[..., :3]
    assert np.abs(difference).max() <= 1
    deep = laid_on(Picture(COLOR.astype(np.uint16) * 257, alpha.astype(np.uint16) * 257),
                   (255, 204, 0))  # fmt: skip
    assert np.abs(deep.color / 257 - found.color).max() <= 0.51
    extreme = np.full((2, 2, 3), 65535, np.uint16)
    laid = laid_on(Picture(extreme, extreme[..., 0]), (255, 255, 255))
    np.testing.assert_array_equal(laid.color, extreme)


def test_grey_stays_grey_on_grey_and_becomes_rgb_on_colour():
    grey = Picture(COLOR[..., :1], np.full((6, 8), 51, np.uint8), Metadata(icc=linear_grey()))
    on_white = laid_on(grey, (255, 255, 255))
    np.testing.assert_allclose(on_white.color, 204 + COLOR[..., :1] / 5, atol=0.51)
    assert on_white.metadata.icc == linear_grey()
    on_blue = laid_on(grey, (0, 0, 255))
    np.testing.assert_allclose(on_blue.color[..., 0], COLOR[..., 0] / 5, atol=0.51)
    np.testing.assert_allclose(on_blue.color[..., 2], 204 + COLOR[..., 0] / 5, atol=0.51)
    assert on_blue.metadata.icc is None
    with pytest.warns(ImageWarning, match=r"x\.png: its grey profile is left out"):
        opaque_where_needed(grey, Path("x.png"), (0, 0, 255))


def test_a_file_is_laid_on_its_background_before_it_is_enlarged(tmp_path):
    alpha = np.zeros((6, 8), np.uint8)
    alpha[:, 4:] = 255
    Image.fromarray(np.dstack([COLOR, alpha])).save(tmp_path / "in.png")
    for extension in (".bmp", ".png"):
        written = upscale(
            tmp_path / "in.png", 2, output=tmp_path / f"out{extension}", background="#ffcc00",
            backend="fake",
        )  # fmt: skip
        found = read(written)
        assert found.alpha is None
        assert (found.color[:, :8] == (255, 204, 0)).all()
        np.testing.assert_array_equal(found.color[::2, 8::2], COLOR[:, 4:])


def test_a_wrong_background_is_said_before_anything_is_done(tmp_path):
    with pytest.raises(ImageError, match="'blanc' is no colour"):
        upscale(tmp_path / "gone.png", 2, background="blanc", backend="fake")
    with pytest.raises(ImageError, match="for paths only"):
        upscale(np.zeros((2, 2), np.uint8), 2, background="red", backend="fake")
