"""`imagen_fast.restore`: strength, masks, and the kind of picture that goes in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import imagen_fast
from imagen_fast import ImageError, ImageWarning, WeightsError
from imagen_fast.cli import main
from imagen_fast.image.inpaint import inpainted
from imagen_fast.tasks.restore import mask_of, restore


@pytest.fixture
def picture() -> Any:
    return np.random.default_rng(0).integers(60, 200, (21, 34, 3), np.uint8)


@pytest.fixture
def mask() -> Any:
    mask = np.zeros((21, 34), bool)
    mask[5:8, 4:30] = True
    return mask


def test_strength_goes_evenly_from_the_picture_to_the_models(restorer: Path, picture: Any) -> None:
    whole = restore(picture, model=restorer).astype(int)
    with imagen_fast.load(restorer) as engine:
        np.testing.assert_array_equal(whole, engine(picture))
    assert np.abs(whole - picture).mean() > 3
    np.testing.assert_array_equal(restore(picture, model=restorer, strength=0), picture)
    changes = []
    for strength in np.linspace(0, 1, 5):
        found = restore(picture, model=restorer, strength=float(strength)).astype(int)
        assert np.abs(found - (picture + strength * (whole - picture))).max() <= 0.5 + 1e-4
        changes.append(np.abs(found - picture).mean())
    assert changes == sorted(set(changes))


def test_holes_are_filled_before_the_model_and_whatever_the_strength(
    restorer: Path, picture: Any, mask: Any
) -> None:
    filled = inpainted(picture, mask)
    for strength in (0.0, 0.4, 1.0):
        np.testing.assert_array_equal(
            restore(picture, model=restorer, mask=mask, strength=strength),
            restore(filled, model=restorer, strength=strength),
        )


@pytest.mark.parametrize("kind", ["grey", "deep", "floats", "alpha", "neutral"])
def test_every_kind_comes_back_as_it_went_in(
    restorer: Path, picture: Any, mask: Any, kind: str
) -> None:
    image = {
        "grey": picture[..., 0],
        "deep": picture.astype(np.uint16) * 257,
        "floats": picture.astype(np.float32) / 255,
        "alpha": np.concatenate([picture, np.full_like(picture[..., :1], 255)], axis=2),
        "neutral": picture[..., :1].repeat(3, 2),
    }[kind]
    found = restore(image, model=restorer, mask=mask, strength=0)
    assert (found.dtype, found.shape) == (image.dtype, image.shape)
    step = 1e-5 if kind == "floats" else 0
    np.testing.assert_allclose(found[~mask], image[~mask], rtol=0, atol=step)
    assert np.abs(found[mask].astype(float) - image[mask]).max() > step
    if kind == "neutral":
        assert np.ptp(found, axis=2).max() == 0


def test_files_and_pillow_images(restorer: Path, picture: Any, mask: Any, tmp_path: Path) -> None:
    photo, holes = tmp_path / "photo.png", tmp_path / "holes.png"
    Image.fromarray(picture).save(photo)
    Image.fromarray(mask).save(holes)
    expected = restore(picture, model=restorer, mask=mask, strength=0.3)
    written = restore(photo, model=restorer, mask=holes, strength=0.3)
    assert written == tmp_path / "photo_restored.png"
    with Image.open(written) as image, Image.open(photo) as before, Image.open(holes) as named:
        np.testing.assert_array_equal(np.asarray(image), expected)
        after = restore(before, model=restorer, mask=named, strength=0.3)
        np.testing.assert_array_equal(np.asarray(after), expected)
    done = CliRunner().invoke(
        main,
        [*("restore", str(photo), "-n", str(restorer), "--mask", str(holes), "--strength", "0.3"),
         *("-o", str(tmp_path / "own.png"))],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "own.png") as image:
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_the_mask_is_never_overwritten(
    restorer: Path, picture: Any, mask: Any, tmp_path: Path
) -> None:
    photo, holes = tmp_path / "photo.png", tmp_path / "holes.png"
    Image.fromarray(picture).save(photo)
    Image.fromarray(mask).save(holes)
    before = holes.read_bytes()
    with pytest.raises(ImageError, match="the output is an input"):
        restore(photo, model=restorer, mask=holes, output=holes, overwrite=True)
    line = ["restore", photo, "-n", restorer, "--mask", holes, "-o", holes, "--overwrite"]
    done = CliRunner().invoke(main, list(map(str, line)))
    assert done.exit_code == 1
    assert "the output is an input" in done.output
    assert holes.read_bytes() == before


def test_masks_are_light_where_there_are_holes(mask: Any) -> None:
    for given in (mask, mask * np.uint8(255), mask * np.float32(1), mask * np.uint16(65535)):
        np.testing.assert_array_equal(mask_of(given), mask)
    assert mask_of(np.array([[127, 128]], np.uint8)).tolist() == [[False, True]]


def test_white_that_a_mask_hides_is_no_hole(mask: Any, tmp_path: Path) -> None:
    strokes = np.full((*mask.shape, 4), 255, np.uint8)
    strokes[..., 3] = mask * np.uint8(255)
    image = Image.fromarray(strokes)
    image.save(tmp_path / "mask.png")
    for given in (strokes, image, tmp_path / "mask.png"):
        np.testing.assert_array_equal(mask_of(given), mask)


def test_a_mask_of_ones_in_place_of_255_is_said(mask: Any) -> None:
    with pytest.warns(ImageWarning, match="light .128 or more of 255. nowhere"):
        assert not mask_of(mask.astype(np.uint8)).any()
    with pytest.warns(ImageWarning, match="light over 89% of the picture: that is filled"):
        mask_of(~mask)
    with pytest.raises(ImageError, match="the mask is a int; expected a Pillow image"):
        mask_of(5)  # type: ignore[arg-type]


def test_what_cannot_be_restored(restorer: Path, picture: Any, mask: Any, tmp_path: Path) -> None:
    halves = (restore(picture, model=restorer, strength=s) for s in (0.5, np.float32(0.5)))
    np.testing.assert_array_equal(*halves)
    for strength in (-0.1, 1.01, "1", float("nan")):
        with pytest.raises(ImageError, match=r"expected a number from 0 to 1"):
            restore(picture, model=restorer, strength=strength)
    with pytest.raises(ImageError, match="the mask is 33 × 21, the picture 34 × 21"):
        restore(picture, model=restorer, mask=mask[:, 1:])
    with (
        pytest.warns(ImageWarning, match="light over 100%"),
        pytest.raises(ImageError, match="the mask covers the whole picture"),
    ):
        restore(picture, model=restorer, mask=np.ones_like(mask))
    with pytest.raises(WeightsError, match="enlarges 4 times; expected one that restores"):
        restore(picture, model="sr-x4")
    for name in ("a.png", "b.png"):
        Image.fromarray(picture).save(tmp_path / name)
    many = ["restore", "-n", str(restorer), str(tmp_path), "--mask", str(tmp_path / "a.png")]
    result = CliRunner().invoke(main, many)
    assert result.exit_code == 2
    assert "--mask is for one picture; there are 2 pictures" in result.stderr
    assert "--mask" not in CliRunner().invoke(main, ["upscale", "--help"]).stdout
