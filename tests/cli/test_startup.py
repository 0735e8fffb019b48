"""The command and the package start without what they do not need yet."""

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from PIL import Image

HEAVY = {"torch", "rich", "PIL", "numpy", "safetensors", "tifffile", "png"}
SHOW = "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def loaded(code):
    """The top-level modules that are loaded after `code`."""
    line = [sys.executable, "-c", code + SHOW]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split())


def run(*arguments):
    return f"from imagen_fast.cli import main; main({list(arguments)!r}, standalone_mode=False)"


@pytest.mark.parametrize(
    "code",
    ["import imagen_fast", run("--help"), run("--version")],
    ids=["import", "help", "version"],
)
def test_nothing_heavy_is_loaded(code):
    modules = loaded(code)
    assert "imagen_fast" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize(
    "arguments", [("upscale", "--help"), ("train", "--help"), ("eval", "-h"), ("models",)], ids=str
)
def test_torch_is_not_loaded_before_there_is_work(arguments):
    assert "torch" not in loaded(run(*arguments))


def test_the_fake_backend_needs_no_torch(fake_model, picture, tmp_path):
    path = picture(tmp_path / "a.png")
    arguments = ("upscale", str(path), "-n", str(fake_model), "--backend", "fake")
    code = f"import click\ntry: {run(*arguments)}\nexcept click.exceptions.Exit: pass\npass"
    assert "torch" not in loaded(code)
    assert (tmp_path / "a_x2.png").exists()


def test_every_command_is_listed_and_loads(command):
    from imagen_fast.cli import COMMANDS

    overview = command("--help")
    assert overview.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in overview.stdout
        shown = command(name, "--help")
        assert shown.exit_code == 0
        assert "Usage: " in shown.stdout


def test_unknown_command(command):
    result = command("upscael")
    assert result.exit_code == 2
    assert "upscael" in result.stderr


def test_module_and_script_are_the_same_command():
    script = Path(sysconfig.get_path("scripts")) / "imagen-fast"
    for line in ([sys.executable, "-m", "imagen_fast"], [script]):
        done = subprocess.run([*line, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("imagen-fast ")


def test_upscale_loads_with_an_older_click():
    """Before 8.4 the base class of click's types cannot be subscripted."""
    older = "import click; click.ParamType.__class_getitem__ = None; "
    line = [sys.executable, "-c", older + run("upscale", "--help")]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert "N|READ:WRITE" in done.stdout
    assert done.stderr == ""


def test_a_small_picture_is_enlarged_before_torch_would_be_imported(tmp_path):
    """Whole processes in turns, of which the fastest counts, because others use the machine: the
    first of four rounds in which that is so is enough.
    """
    pytest.importorskip("torch", reason="needs PyTorch")
    pytest.importorskip("imagen_fast._native", reason="the extension is not built")
    Image.new("RGB", (256, 256), "teal").save(tmp_path / "a.png")
    commands = {
        "torch": [sys.executable, "-c", "import torch"],
        "upscale": [sys.executable, "-m", "imagen_fast", "upscale", "a.png", "--overwrite"],
    }
    times = {name: [] for name in commands}
    for _ in range(4):
        for name, line in commands.items():
            start = time.perf_counter()
            subprocess.run(line, check=True, capture_output=True, cwd=tmp_path, timeout=120)
            times[name].append(time.perf_counter() - start)
        if min(times["upscale"]) < min(times["torch"]):
            return
    pytest.fail(f"{times}")
