"""Colours are the same after a file as before it, whatever profile says what they mean."""

import io
from pathlib import Path

import numpy as np
import pytest
from icc_profiles import linear_grey, wide_rgb
from PIL import Image, ImageCms

from imagen_fast import upscale
from imagen_fast.image.picture import Metadata, Picture, eight_bits
from imagen_fast.image.read import read
from imagen_fast.image.resample import resize
from imagen_fast.image.write import write


def lab(picture):
    """CIELAB of an 8-bit picture as its profile (sRGB if none) defines it: (H, W, 3) float."""
    color = picture.color
    mode = "L" if color.shape[2] == 1 else "RGB"
    profile = picture.metadata.icc
    source = (
        ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("sRGB")
    )
    if mode == "L" and not (profile and profile[16:20] == b"GRAY"):
        mode, color = "RGB", np.repeat(color, 3, axis=2)
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("LAB"), mode, "LAB")
    image = Image.fromarray(color[..., 0] if mode == "L" else np.ascontiguousarray(color))
    stored = np.asarray(ImageCms.applyTransform(image, transform))
    return np.dstack([stored[..., 0] / 2.55, stored[..., 1:].view(np.int8)]).astype(float)


def delta_e(a, b):
    return float(np.linalg.norm(lab(a).mean((0, 1)) - lab(b).mean((0, 1))))


def enlarged(picture, scale):
    color = resize(picture.color, scale * picture.height, scale * picture.width)
    return Picture(color.round().clip(0, 255).astype(np.uint8), None, picture.metadata)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("scale", [1, 2])
def test_a_managed_photograph_keeps_profile_and_colour(tmp_path, photo, extension, scale):
    original = Picture(photo, None, Metadata(icc=wide_rgb()))
    # The profile matters: without it the colours would be others.
    assert delta_e(original, Picture(photo)) > 3
    Image.fromarray(photo).save(tmp_path / "in.jpg", icc_profile=wide_rgb(), quality=95)
    write(tmp_path / f"out{extension}", enlarged(read(tmp_path / "in.jpg"), scale))
    found = read(tmp_path / f"out{extension}")
    assert found.metadata.icc == wide_rgb()
    assert found.color.shape == (scale * 120, scale * 160, 3)
    assert delta_e(original, found) < 1


def test_real_photographs_keep_their_average_colour(tmp_path, data):
    for path in sorted((data / "train/photos_cc0").glob("*.jpg"))[:3]:
        with Image.open(path) as image:
            image.convert("RGB").reduce(4).save(
                tmp_path / "in.jpg", icc_profile=wide_rgb(), quality=95
            )
        original = read(tmp_path / "in.jpg")
        for extension in (".png", ".jpg", ".webp"):
            write(tmp_path / f"out{extension}", enlarged(original, 2))
            found = read(tmp_path / f"out{extension}")
            assert found.metadata.icc == wide_rgb()
            assert delta_e(original, found) < 1


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_the_shipped_weights_keep_profile_and_colour(tmp_path, extension):
    pytest.importorskip("imagen_fast._native", reason="the extension is not built")
    source = Path(__file__).parents[2] / "examples/photographs/osprey.png"
    with Image.open(source) as image:
        image.crop((100, 40, 260, 140)).save(tmp_path / "in.png", icc_profile=wide_rgb())
    original = read(tmp_path / "in.png")
    assert delta_e(original, Picture(original.color)) > 1.5  # the profile matters
    target = upscale(
        tmp_path / "in.png", 2, output=tmp_path / f"out{extension}", threads=1, device="cpu"
    )
    found = read(target)
    assert found.color.shape == (200, 320, 3)
    assert found.metadata.icc == wide_rgb()
    assert delta_e(original, found) < 1


def test_bmp_cannot_carry_a_profile_so_it_is_applied(tmp_path, photo):
    inside = (photo // 2 + 60).astype(np.uint8)  # colours that sRGB can show
    original = Picture(inside, None, Metadata(icc=wide_rgb()))
    write(tmp_path / "x.bmp", original)
    found = read(tmp_path / "x.bmp")
    assert delta_e(original, found) < 1
    assert np.abs(found.color.astype(int) - inside).mean() > 1


@pytest.mark.parametrize("extension", [".webp", ".bmp"])
def test_grey_profiles_are_applied_where_pixels_become_rgb(tmp_path, photo, extension):
    original = Picture(photo[..., :1], None, Metadata(icc=linear_grey()))
    write(tmp_path / f"x{extension}", original, quality=100)
    found = read(tmp_path / f"x{extension}")
    assert found.metadata.icc is None
    assert delta_e(original, found) < 1
    assert np.abs(found.color.astype(int) - original.color).mean() > 10


def test_alpha_stays_where_a_grey_profile_is_applied(tmp_path, photo):
    original = Picture(photo[..., :1], photo[..., 1], Metadata(icc=linear_grey()))
    write(tmp_path / "x.webp", original, quality=100)
    np.testing.assert_array_equal(read(tmp_path / "x.webp").alpha, photo[..., 1])


def test_deep_colour_keeps_its_profile(tmp_path, photo):
    deep = Picture(photo.astype(np.uint16) * 257, None, Metadata(icc=wide_rgb()))
    for extension in (".png", ".tif", ".jpg"):
        write(tmp_path / f"x{extension}", deep)
        found = read(tmp_path / f"x{extension}")
        assert found.metadata.icc == wide_rgb()
        shallow = Picture(eight_bits(found.color), None, found.metadata)
        assert delta_e(Picture(photo, None, deep.metadata), shallow) < 1
