"""What a JPEG rounded to is found, and what it holds is not taken away."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import imagen_fast
from imagen_fast.image.degradation import blurred, jpeg, noisy
from imagen_fast.image.jpeg_bounds import keep_coefficients
from imagen_fast.image.jpeg_steps import COSINES, USUAL, Steps, blocks, find_steps, usual_table
from imagen_fast.image.read import read
from imagen_fast.image.yuv import lightness
from imagen_fast.metrics import luma_psnr
from imagen_fast.tasks.restore import Restorer


def test_the_usual_tables_are_those_of_the_encoder() -> None:
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            table = image.quantization[0]  # type: ignore[attr-defined]
        np.testing.assert_array_equal(usual_table(quality).ravel(), table)


@pytest.mark.parametrize("quality", [3, 10, 30, 50, 75, 90, 95])
def test_the_steps_of_a_jpeg_are_found(data: Path, quality: int) -> None:
    for path in sorted((data / "test" / "set5").iterdir()):
        if path.stem == "woman" and quality > 75:
            continue  # it was a JPEG of that quality once, and its steps are found
        compressed = jpeg(read(path).color, quality)
        found = find_steps(compressed)
        assert found is not None, path.name
        assert (found.top, found.left) == (0, 0)
        # Tables next to each other hardly differ.
        assert np.abs(found.table / usual_table(quality) - 1).max() < 0.1, path.name


def _photograph(data: Path) -> Any:
    return read(sorted((data / "test" / "bsd100").iterdir())[0]).color


def test_a_picture_turned_after_it_was_a_jpeg_is_known(data: Path) -> None:
    color = jpeg(_photograph(data), 60)
    assert all(side % 8 for side in color.shape[:2])
    told = tuple(usual_table(60).astype(int).ravel().tolist())
    found = find_steps(np.ascontiguousarray(color[::-1, ::-1]), told)
    assert found is not None
    assert (found.top, found.left) == (color.shape[0] % 8, color.shape[1] % 8)


def test_a_table_of_its_own_is_found_if_it_is_told(data: Path) -> None:
    own = tuple(3 + 2 * (number // 8) + number % 8 for number in range(64))
    color = _photograph(data)
    file = io.BytesIO()
    Image.fromarray(color).save(file, "JPEG", qtables=[own, own])
    with Image.open(file) as image:
        decoded = np.asarray(image)
    for told, picture in ((own, decoded), (own, np.ascontiguousarray(decoded.swapaxes(0, 1)))):
        found = find_steps(picture, told)
        assert found is not None
        table = np.reshape(own, (8, 8))
        np.testing.assert_array_equal(found.table, table if picture is decoded else table.T)


def test_pictures_that_were_no_jpeg_have_no_steps(data: Path) -> None:
    paths = sorted((data / "test" / "bsd100").iterdir())[::5]
    reduced = [np.asarray(Image.open(path).convert("RGB").reduce(2)) for path in paths]
    assert [find_steps(picture) for picture in reduced] == [None] * len(reduced)
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 3), (9, 400, 1), (64, 64, 3)):
        assert find_steps(rng.integers(0, 256, shape, np.uint8)) is None
        assert find_steps(np.full(shape, 65535, np.uint16), (0,) * 64) is None


def _weaker(picture: Any) -> Any:
    """What a network would do that takes detail for noise."""
    return blurred(picture, 0.7, 0.7, radius=3)


@pytest.mark.parametrize("kind", ["color", "grey", "deep"])
@pytest.mark.parametrize("start", [(0, 0), (3, 5)])
def test_coefficients_come_back_to_their_bounds(photo: Any, kind: str, start: Any) -> None:
    given = jpeg(photo, 30)[: 8 * 6 + 5, : 8 * 7 + 3]
    steps = Steps(usual_table(30), *start)
    if kind == "grey":
        given = given[..., 1:2]
    made = _weaker(given)
    if kind == "deep":
        given, made = (x.astype(np.uint16) * 257 for x in (given, made))
    found = made.copy()
    keep_coefficients(found, given, steps)
    assert (found != made).any()
    top, left = start
    height, width = (side // 8 * 8 for side in (given.shape[0] - top, given.shape[1] - left))
    outside = np.ones(given.shape[:2], bool)
    outside[top : top + height, left : left + width] = False
    np.testing.assert_array_equal(found[outside], made[outside])  # blocks that are not whole
    before, after, weak = (_coefficients(x, top, left) for x in (given, found, made))
    fall, fell = (np.sign(before) * (before - x) / steps.table for x in (after, weak))
    assert fell.max() > 0.6
    # Rounding and what white and black cut off again are all that is beyond.
    assert fall.max() < 0.35 + 1.5 / steps.table.min()
    grown = np.sign(before) * (weak - before) > 1
    np.testing.assert_allclose(after[grown], weak[grown], atol=1.5)


def _coefficients(picture: Any, top: int, left: int) -> Any:
    level = np.iinfo(picture.dtype).max / 255
    luma = lightness(picture[top:, left:].astype(np.float32)) / np.float32(level)
    return COSINES @ blocks(luma) @ COSINES.T


def test_what_a_jpeg_holds_is_nearer_to_the_truth(data: Path) -> None:
    gains = []
    with imagen_fast.load("restore", threads=1) as engine:
        for path in sorted((data / "test" / "set5").iterdir()):
            truth = read(path).color
            given = jpeg(truth, 20)
            found = Restorer(engine)(given)
            np.testing.assert_array_equal(Restorer(engine, alone=False)(given), engine(given))
            gains.append(luma_psnr(found, truth) - luma_psnr(engine(given), truth))
    assert min(gains) > 0
    assert np.mean(gains) > 0.01


def test_noise_of_before_the_jpeg_may_go(data: Path) -> None:
    for path in sorted((data / "test" / "set5").iterdir()):
        truth = read(path).color
        given = jpeg(noisy(truth, 15, np.random.default_rng(0)), 90)
        found = truth.copy()
        keep_coefficients(found, given, Steps(usual_table(90), 0, 0))
        np.testing.assert_array_equal(found, truth)


def test_the_first_table_is_that_of_the_standard() -> None:
    assert np.sum(USUAL) == 3688
