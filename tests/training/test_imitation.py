import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import imagen_fast
from imagen_fast.training.fused import native_training
from imagen_fast.training.imitation import imitate


@pytest.fixture
def folder(tmp_path):
    """Pictures of a coloured disc, of which a model could be made."""
    folder = tmp_path / "discs"
    folder.mkdir()
    random = np.random.default_rng(0)
    y, x = np.mgrid[:80, :100]
    for number in range(4):
        disc = (y - 40) ** 2 + (x - 50) ** 2 < 900
        pixels = np.where(disc[..., None], random.integers(0, 256, 3), 30)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def test_a_texture_has_any_size_and_a_picture_its_own(folder, tmp_path, capsys):
    run = {"steps": 2, "threads": 1, "validate_every": 1000}
    texture = imitate(folder, tmp_path / "texture", True, run)
    assert texture.finished
    by_kernels = "train by the engine's kernels" in capsys.readouterr().err.replace("\n", " ")
    assert by_kernels == (native_training() is not None)
    made = imagen_fast.generate(model=texture.bundle, size=(40, 72))
    assert made.shape == (1, 40, 72, 3)
    whole = imitate(folder, tmp_path / "whole", False, run)
    with pytest.raises(imagen_fast.ImageError, match="64 × 64 alone"):
        imagen_fast.generate(model=whole.bundle, size=(40, 72))
    assert imagen_fast.generate(model=whole.bundle).std() > 0


def test_a_run_on_other_pictures_is_not_taken_over(folder, tmp_path):
    run = {"steps": 1, "threads": 1, "validate_every": 1000}
    imitate(folder, tmp_path / "more", False, run)
    with pytest.raises(imagen_fast.TrainingError, match="of another run: its generation"):
        imitate(folder, tmp_path / "more", True, run)
    other = folder.rename(tmp_path / "rings")
    with pytest.raises(imagen_fast.TrainingError, match=r"its name is discs, the config.* rings"):
        imitate(other, tmp_path / "more", False, run)


def test_the_command_trains_writes_and_goes_on(folder, tmp_path):
    def run(*more):
        command = [sys.executable, "-m", "imagen_fast", "generate", "--like", folder]
        command += ["-o", "more", "-n", "2", "--threads", "1", *more]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    first = run("--minutes", "0.001")
    assert first.returncode == 0, first.stderr
    assert "nothing to resume" not in first.stderr
    assert sorted(path.name for path in (tmp_path / "more").glob("discs*")) == [
        "discs-generator.safetensors",
        "discs_0_00000.png",
        "discs_0_00001.png",
    ]
    assert list((tmp_path / "more" / "samples").glob("*.png"))
    again = run("--minutes", "0.001")
    assert again.returncode == 1
    assert "exists" in again.stderr
    longer = run("--minutes", "0.03", "--overwrite")
    assert longer.returncode == 0, longer.stderr
    assert "going on from step" in longer.stderr
    quiet = run("--minutes", "0.06", "--overwrite", "-q")
    assert quiet.returncode == 0, quiet.stderr
    assert quiet.stdout == quiet.stderr == ""
    refused = run("--minutes", "1", "--model", "x")
    assert refused.returncode == 2
