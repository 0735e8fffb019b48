"""`examples/textures.py`: it finds even textures, and its halves share no pixel."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("imagen_fast._native", reason="the extension is not built")

EXAMPLE = Path(__file__).parents[1] / "examples" / "textures.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("textures", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def photograph(seed, size=(352, 400)):
    """Noise of one grain in a corner, a smooth ramp around it."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 60, size[1])[None, :, None] * np.ones((size[0], 1, 3))
    grain = rng.integers(0, 200, (320 // (seed + 1), 320 // (seed + 1), 3))
    grain = grain.repeat(seed + 1, 0).repeat(seed + 1, 1)
    ramp[32 : 32 + len(grain), 64 : 64 + grain.shape[1]] = grain
    return ramp.astype(np.uint8)


def test_the_most_even_square_is_the_texture(example):
    photo = photograph(0)
    unevenness, square = example.most_even(photo)
    np.testing.assert_array_equal(square, photo[32:352, 64:384])
    assert unevenness < 0.3
    flat = np.full_like(photo, 99)
    assert example.most_even(flat)[0] == np.inf  # plain surfaces are no textures


def test_patches_touch_and_share_no_pixel(example):
    numbers = np.arange(320 * 320 * 3, dtype=np.uint32).reshape(320, 320, 3)
    left, right = (example.patches(half) for half in np.split(numbers, 2, axis=1))
    assert left.shape == right.shape == (50, 32, 32, 3)
    assert len(np.unique(np.concatenate([left, right]))) == numbers.size
    np.testing.assert_array_equal(left[1], numbers[:32, 32:64])


def test_grey_patches_tell_nothing_by_brightness_or_contrast(example):
    data = photograph(0)[None, 32:64, 64:96]
    dark = (data * 0.5 + 20).astype(np.uint8)
    for one in (data, dark):
        even = example.without_colour(one)
        assert even.shape == data.shape
        assert even.mean() == pytest.approx(128, abs=1)
        assert even.std() == pytest.approx(40, abs=3)


def test_features_tell_grains_apart_that_histograms_cannot(example, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    for seed in (0, 1, 3):
        Image.fromarray(photograph(seed)).save(tmp_path / f"{seed}.png")
    monkeypatch.setattr(example, "MODELS", ("sr-x4",))
    monkeypatch.setattr("sys.argv", ["textures.py", str(tmp_path)])
    assert example.main() == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("3 classes, 100 patches each; by chance 33.3%")
    grey = {row[:34].strip(): float(row.split()[-1].rstrip("%")) for row in rows}
    assert grey["features of sr-x4"] > 95
    assert grey["pixels"] < 60


def test_folders_without_the_photographs_are_named(tmp_path):
    script = EXAMPLE.parent / "cut_textures.py"
    command = [sys.executable, script, tmp_path, "-o", tmp_path / "textures"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"none of the 0 photographs (*.jpg) in {tmp_path} is one of PHOTOGRAPHS" in done.stderr
    assert not (tmp_path / "textures").exists()
