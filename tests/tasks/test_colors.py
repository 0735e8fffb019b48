"""Drawn pictures whose right answer is known."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from imagen_fast import catalogue, load
from imagen_fast.backends.fake import Fake
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.engine import Engine
from imagen_fast.task import UPSCALE
from imagen_fast.tasks.colors import FLAT, HATCHINGS, SIDE, hatching, measure

enlarging = [path for path in catalogue.files() if load_bundle(path).task is UPSCALE]
clean = [entry.path for entry in catalogue.shipped() if entry.path in enlarging and not entry.real]


class Faulty(Fake):
    """Repeats pixels, but adds red to every 4th column of cyan and tints one of the chessboard."""

    def repeated(self, tiles):
        output = super().repeated(tiles)
        output[..., ::4, 0] += 24 * (output[..., ::4, :] == (0, 255, 255)).all(-1).astype(np.uint8)
        for index in np.flatnonzero((tiles == hatching(1, 1, 2, 1)).all((1, 2, 3))):
            output[index, 5, 7] = (255, 199, 255)
        return output


def test_a_network_that_repeats_pixels_is_true(tiny_bundle: Bundle) -> None:
    found = measure(Engine(Fake(tiny_bundle)))
    assert (found.flat.worst, found.flat.mean) == (0, 0)
    assert (found.hatching.worst, found.hatching.mean) == (0, 0)
    assert (found.pixels.worst, found.pixels.mean) == (0, 0)


def test_the_worst_sample_is_found_and_named(tiny_bundle: Bundle) -> None:
    foreign = Bundle(tiny_bundle.graph, tiny_bundle.tensors)  # whose colours an engine leaves alone
    found = measure(Engine(Faulty(foreign)))
    assert (found.flat.worst, found.flat.where) == (24, "#00ffff")
    assert found.flat.mean == pytest.approx(24 / 27)
    assert (found.hatching.worst, found.hatching.where) == (55, "1:1 every 2, 1 wide")
    assert found.hatching.mean == pytest.approx(55 / len(HATCHINGS))


class Lost(Fake):
    """Repeats pixels, but makes white of yellow beside blue."""

    def repeated(self, tiles):
        output = super().repeated(tiles)
        for picture in output:
            if (picture == (255, 255, 0)).all(-1).any() and (picture == (0, 0, 255)).all(-1).any():
                picture[(picture == (255, 255, 0)).all(-1)] = 255
        return output


def test_a_model_that_loses_itself_in_pixel_graphics_is_found(tiny_bundle: Bundle) -> None:
    foreign = Bundle(tiny_bundle.graph, tiny_bundle.tensors)
    found = measure(Engine(Lost(foreign))).pixels
    # two of three pixels are yellow, one of whose samples is off by 255
    assert found.where == "1:1 every 3, 1 wide, #ffff00 and #0000ff"
    assert found.worst == pytest.approx(255 / 3 * 683 / SIDE**2)


def test_what_is_drawn() -> None:
    assert len(set(FLAT)) == 27
    assert set(itertools.product((0, 255), repeat=3)) < set(FLAT)
    drawn = np.stack([hatching(*lines) for lines in HATCHINGS])
    assert drawn.shape == (len(HATCHINGS), SIDE, SIDE, 3)
    assert (np.ptp(drawn, axis=3) == 1).all()
    assert {tuple(color) for color in drawn.reshape(-1, 3).tolist()} == {
        (0, 0, 1),
        (255, 255, 254),
    }
    assert (drawn.mean((1, 2, 3)) > 60).all()
    assert len({picture.tobytes() for picture in drawn}) == len(HATCHINGS)


@pytest.mark.parametrize("path", enlarging, ids=lambda path: path.stem)
def test_shipped_models_keep_flat_colours_and_leave_the_neutral_without_colour(path: Path) -> None:
    with load(path) as engine:
        found = measure(engine)
    assert found.flat.worst == 0
    assert found.hatching.worst <= 2


@pytest.mark.parametrize("path", clean, ids=lambda path: path.stem)
def test_shipped_models_do_not_lose_themselves_in_pixel_graphics(path: Path) -> None:
    with load(path) as engine:
        found = measure(engine)
    assert found.pixels.worst <= 12
