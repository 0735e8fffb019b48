"""Strokes that follow a picture's shapes."""

from typing import Any

import numpy as np
import pytest

from imagen_fast.image.strokes import MOST, directions, in_bytes, of_bytes, strength_of, strokes


def stripes(angle: float) -> Any:
    """A picture that changes along this angle alone."""
    y, x = np.mgrid[:120, :160]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 5)
    return (128 + 100 * wave).astype(np.uint8)[..., None].repeat(3, 2)


@pytest.mark.parametrize("angle", [0.0, 0.5, 1.2, 2.5])
def test_they_run_along_what_changes_least(angle: float) -> None:
    across, down = directions(stripes(angle)[..., 0] / np.float32(255))
    inner = slice(20, -20)
    along = across * -np.sin(angle) + down * np.cos(angle)
    assert np.abs(along[inner, inner]).min() > 0.95
    grey = strokes(stripes(angle)).mean(2)
    dy, dx = np.gradient(grey[inner, inner])
    lengthwise = -np.sin(angle) * dx + np.cos(angle) * dy
    crosswise = np.cos(angle) * dx + np.sin(angle) * dy
    assert (crosswise**2).mean() > 4 * (lengthwise**2).mean()


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (300, 2), (279, 290)])
def test_any_size_has_them(size: tuple[int, int]) -> None:
    flat = np.full((*size, 3), 90, np.uint8)
    found = strokes(flat)
    assert (found.shape, found.dtype) == (flat.shape, np.float32)
    assert np.isfinite(found).all()
    if min(size) > 100:
        assert found.std() == pytest.approx(1, abs=0.1)
        assert abs(found.mean()) < 0.2


def test_the_same_picture_has_the_same_in_eight_and_sixteen_bits() -> None:
    picture = stripes(0.7)
    found = strokes(picture)
    np.testing.assert_array_equal(strokes(picture.astype(np.uint16) * 257), found)
    np.testing.assert_array_equal(strokes(picture), found)


def test_bytes_keep_them() -> None:
    found = strokes(stripes(0.7))
    kept = of_bytes(in_bytes(found) / np.float32(255))
    within = np.abs(found) < 3.9
    assert within.mean() > 0.99
    np.testing.assert_allclose(kept[within], found[within], atol=1 / 60)


def test_they_are_as_strong_as_a_painting_s_own_marks() -> None:
    rng = np.random.default_rng(0)
    shape = np.zeros((120, 160, 3), np.float32)
    shape[40:90, 50:120] = 0.8  # what it shows is none of its marks
    marks = rng.normal(0, 1, (120, 160, 3)).astype(np.float32)
    found = [strength_of(shape + part * marks) for part in (0, 0.01, 0.02, 5)]
    assert found[0] < 1e-3
    assert found[2] == pytest.approx(2 * found[1], rel=0.1)
    assert found[3] == MOST
