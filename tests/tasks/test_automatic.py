"""Clean pictures get the model for clean ones, others the one for others where there is one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import imagen_fast
from imagen_fast import catalogue
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.cli import main
from imagen_fast.image.condition import harm, noise_level
from imagen_fast.image.degradation import degrade, noisy
from imagen_fast.image.picture import Picture
from imagen_fast.image.read import read
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.task import UPSCALE

EARLIER = "JPEG of quality {} before it was saved as this"

Photo = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture
def photo() -> Photo:
    """Smooth, with all levels: (120, 160, 3)."""
    y, x = np.mgrid[:120, :160][..., None]
    smooth: Photo = (128 + 60 * np.sin(y / 9 + x / 7 + np.arange(3))).astype(np.uint8)
    return smooth


@pytest.fixture
def both(
    bundle_of: Callable[[ModelSpec], Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a shipped model for clean pictures and one for others."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("real-x2-tiny", "sr-x2-tiny"):
        save_bundle(
            bundle_of(ModelSpec(scale=2, levels=(Level(32),))), folder / f"{name}.safetensors"
        )
    monkeypatch.setattr(catalogue, "FOLDER", folder)
    return folder


def test_clean_pictures_of_all_sizes_are_clean(data: Path) -> None:
    paths = sorted((data / "test" / "set5").iterdir())
    assert len(paths) == 5
    for path in paths:
        color = read(path).color
        for scale in (1, 2, 3, 4):
            found = harm(Picture(degrade(color, scale)[0]))
            # That one was a JPEG once: each of its coefficients is a multiple of that table's.
            once = (path.stem, scale) == ("woman", 1)
            assert found == (EARLIER.format(75) if once else ""), (path.name, scale)


def test_hardly_a_clean_photograph_is_taken_for_another(data: Path) -> None:
    colors = [read(path).color for path in sorted((data / "test" / "bsd100").iterdir())]
    assert len(colors) == 100
    for scale in (1, 2, 4):
        found = [harm(Picture(degrade(color, scale)[0])) for color in colors]
        assert sum(map(bool, found)) <= 1, (scale, found)


def test_no_drawing_and_no_screen_is_taken_for_another(data: Path) -> None:
    paths = sorted((data / "train" / "screens").iterdir())
    paths += sorted((data / "train" / "illustrations").iterdir())[::5]
    for path in paths:
        color = read(path).color
        for scale in (1, 2, 4):
            assert not harm(Picture(degrade(color, scale)[0])), (path.name, scale)


def test_pixel_graphics_are_clean() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :120]
    dither = (rng.random((120, 120)) < x / 120)[..., None]
    halftone = (np.hypot(x % 6 - 3, y % 6 - 3) < 3 * y / 120)[..., None]
    sprite = rng.choice([0, 96, 192, 255], (30, 30, 3)).repeat(8, 0).repeat(8, 1)
    for picture in (dither, halftone):
        assert harm(Picture(np.where(picture, np.uint8(255), np.uint8(0)))) == ""
    assert harm(Picture(sprite.astype(np.uint8))) == ""


def test_what_lies_under_transparent_pixels_is_no_noise(photo: Photo) -> None:
    noise = noisy(photo, 30, np.random.default_rng(0))
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    assert harm(Picture(noise, alpha)).startswith("noise")
    alpha[:, 40:] = 0
    hidden = np.where(alpha[..., None] > 0, photo, noise)
    assert harm(Picture(hidden, alpha)) == ""


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("sigma", [6, 15, 25, 50])
def test_noise_is_found_and_about_right(data: Path, sigma: int, grey: bool) -> None:
    rng = np.random.default_rng(0)
    for path in sorted((data / "test" / "set5").iterdir()):
        color = read(path).color
        color = color[..., 1:2] if grey else color
        noise = noisy(color, sigma, rng)
        assert harm(Picture(noise)).startswith("noise"), path.name
        found = noise_level(noise.astype(np.float32))
        # Less where noise is cut at black and white, as much of it is at 50 levels.
        assert 0.65 * sigma < found < 1.3 * sigma, path.name


@pytest.mark.parametrize(
    ("quality", "said"),
    [(30, "JPEG of quality 30"), (75, "JPEG of quality 75"), (90, ""), (95, "")],
)
def test_jpeg_files_say_how_good_they_are(
    photo: Photo, tmp_path: Path, quality: int, said: str
) -> None:
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=quality)
    assert harm(read(tmp_path / "a.jpg")) == said
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    assert read(tmp_path / "a.png").metadata.jpeg_table is None


@pytest.mark.parametrize("quality", [30, 50, 75])
def test_a_jpeg_is_known_whatever_it_was_saved_as_since(
    data: Path, tmp_path: Path, quality: int
) -> None:
    for path in sorted((data / "test" / "set5").iterdir()):
        Image.open(path).convert("RGB").save(tmp_path / "a.jpg", quality=quality)
        for left, top in ((0, 0), (3, 5)):  # wherever the blocks begin
            if left and (path.stem, quality) == ("butterfly", 75):
                continue  # too good and too colourful for it to be seen where they do
            with Image.open(tmp_path / "a.jpg") as image:
                part = image.crop((left, top, *image.size))
            part.save(tmp_path / "a.png")
            part.save(tmp_path / "again.jpg", quality=97)
            for name in ("a.png", "again.jpg"):
                found = re.fullmatch(EARLIER.format(r"(\d+)"), harm(read(tmp_path / name)))
                assert found, (path.name, name)
                assert abs(int(found[1]) - quality) <= 4, (path.name, name)


def test_small_flat_and_grey_pictures_are_clean() -> None:
    for shape in ((1, 1, 3), (2, 9, 1), (64, 64, 3)):
        for kind in (np.uint8, np.uint16):
            assert harm(Picture(np.full(shape, np.iinfo(kind).max, kind))) == ""
    rng = np.random.default_rng(0)
    for sides in ((1, 400), (400, 9), (9, 9), (10, 10), (5, 31), (3, 3)):
        harm(Picture(rng.integers(0, 256, (*sides, 3), np.uint8)))  # which says something or ""


def test_the_default_is_the_model_for_clean_pictures(both: Path) -> None:
    assert catalogue.for_task(UPSCALE, 2).stem == "sr-x2-tiny"
    found = catalogue.real(2)
    assert found is not None
    assert found.stem == "real-x2-tiny"
    assert catalogue.real(4) is None


def test_a_call_takes_the_model_that_fits_the_picture(
    both: Path, photo: Photo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "imagen_fast")
    noise = noisy(photo, 30, np.random.default_rng(0))
    Image.fromarray(photo).save(tmp_path / "bad.jpg", quality=40)
    cases = (
        (photo, ""),
        (noise, "noise"),
        (noise.astype(np.float32) / 255, "noise"),
        (Image.fromarray(noise), "noise"),
        (tmp_path / "bad.jpg", "JPEG"),
        (Image.open(tmp_path / "bad.jpg"), "JPEG"),
    )
    for picture, expected in cases:
        caplog.clear()
        found = imagen_fast.upscale(picture, 2)
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == bool(expected)
        assert all(f"{expected}" in line and "real-x2-tiny takes it" in line for line in said)
        model = "real-x2-tiny" if expected else "sr-x2-tiny"
        again = tmp_path / "again.png" if isinstance(picture, Path) else None
        same = imagen_fast.upscale(picture, 2, model=model, output=again)  # type: ignore[call-overload]
        if isinstance(picture, Path):
            found, same = Image.open(found), Image.open(same)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(same))


def upscale(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["upscale", *map(str, arguments)], catch_exceptions=False)


def test_the_command_says_what_another_model_takes(
    both: Path, photo: Photo, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for quality in range(3):
        Image.fromarray(photo).save(folder / f"bad{quality}.jpg", quality=40 + 15 * quality)
    Image.fromarray(noisy(photo, 30, np.random.default_rng(0))).save(folder / "noise.png")
    Image.fromarray(photo).save(folder / "good.png")
    for name, option in (("a", ()), ("b", ("-n", "auto"))):
        done = upscale(folder, "-s", 2, "-o", tmp_path / name, *option)
        assert done.exit_code == 0
        assert done.stderr == ""
        line = "4 pictures by real-x2-tiny, not sr-x2-tiny: 3 × JPEG, 1 × noise"
        assert done.stdout.splitlines()[1:] == [line]
    single = upscale(folder / "bad0.jpg", "-s", 2, "-o", tmp_path / "single.png")
    line = f"{folder}/bad0.jpg: JPEG of quality 40: real-x2-tiny takes it, not sr-x2-tiny"
    assert single.stderr.splitlines() == [line]
    quiet = upscale(folder, "-s", 2, "-o", tmp_path / "c", "-q")
    assert (quiet.stdout, quiet.stderr) == ("", "")
    assert upscale(folder / "bad0.jpg", "-o", tmp_path / "e", "-s", 2, "-q").stderr == ""
    assert upscale(folder, "-o", tmp_path / "d", "-n", "sr-x2-tiny").stderr == ""
