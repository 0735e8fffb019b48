"""A model's metadata says what it is for; calls, commands, messages and names follow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import imagen_fast
from imagen_fast import WeightsError
from imagen_fast.bundle import Bundle, read_header, save_bundle
from imagen_fast.spec import ModelSpec
from imagen_fast.task import TASKS, UPSCALE, task_of


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (21, 34, 3), np.uint8)).save(path)
    return path


def test_a_restorer_in_python_and_on_the_command_line(
    restorer: Path, photo: Path, command: Callable[..., Result]
) -> None:
    with Image.open(photo) as image, imagen_fast.load(restorer) as engine:
        restored = engine(np.asarray(image))
        assert engine(image).size == image.size
        assert (engine.info()["task"], engine.scale) == ("restore", 1)
    assert restored.shape == (21, 34, 3)
    for _ in range(2):  # the second run leaves the first one's result out
        done = command("restore", "-n", restorer, photo.parent, "--overwrite")
        assert done.exit_code == 0, done.output
        assert sorted(path.name for path in photo.parent.iterdir()) == [
            "photo.png",
            "photo_restored.png",
        ]
    with Image.open(photo.with_name("photo_restored.png")) as image:
        np.testing.assert_array_equal(np.asarray(image), restored)


def test_a_command_and_a_call_take_models_of_their_task(
    restorer: Path, tiny_path: Path, photo: Path, command: Callable[..., Result]
) -> None:
    for task, model, said in (
        ("upscale", restorer, "restores; its command is restore"),
        ("restore", tiny_path, "enlarges 2 times; its command is upscale"),
    ):
        refused = command(task, "-n", model, photo)
        assert refused.exit_code == 2
        assert said in refused.stderr
    with pytest.raises(WeightsError, match="is for restore; expected one that enlarges"):
        imagen_fast.upscale(photo, model=restorer)
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


def test_commands_speak_of_their_task(photo: Path, command: Callable[..., Result]) -> None:
    page = command("restore", "--help").stdout
    assert "Restore pictures" in page
    assert "photo_restored.png" in page
    assert "--scale" not in page
    assert "nlarge" not in page
    assert "photo_restored.png" in command("restore", photo, "--dry-run").stdout
    page = command("stylize", "--help").stdout
    assert "Stylize pictures" in page
    assert "--save-style" in page
    assert "--mask" not in page
    assert "default: 1.0" in page
    missing = command("stylize", photo)
    assert missing.exit_code == 2
    assert "Missing option '--style'" in missing.stderr


def test_a_file_that_does_not_say_has_the_first_task_of_its_scale(tmp_path: Path) -> None:
    for scale, name in ((1, "restore"), (2, "upscale")):
        save_bundle(Bundle(ModelSpec(scale=scale), {}), tmp_path / "m.safetensors")
        assert read_header(tmp_path / "m.safetensors").task.name == name


def test_a_task_that_is_unknown_or_contradicts_the_network() -> None:
    with pytest.raises(WeightsError, match="'paint'; expected one of upscale, restore"):
        task_of("paint", 1)
    with pytest.raises(WeightsError, match=r"'upscale'.* 1 times .*expected one of 2, 3, 4, 8"):
        task_of("upscale", 1)


def test_suffixes_of_results() -> None:
    assert UPSCALE.suffix_for(3) == "_x3"
    assert TASKS["restore"].suffixes == ("_restored",)
