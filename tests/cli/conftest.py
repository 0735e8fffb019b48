import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from noise import noise
from PIL import Image

from imagen_fast.cli import main


@pytest.fixture
def command():
    """Run the command in this process."""

    def run(*arguments):
        return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)

    return run


@pytest.fixture
def upscale(command, fake_model):
    """`imagen-fast upscale` with the fake backend."""

    def run(*arguments):
        return command("upscale", "-n", fake_model, "--backend", "fake", *arguments)

    return run


@pytest.fixture
def start(fake_model):
    """Start `imagen-fast upscale` with the fake backend as a process of its own."""
    processes = []

    def run(*arguments, before=lambda: None, terminal=None, **options):
        def prepare():
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it
            before()

        line = [sys.executable, "-m", "imagen_fast", "upscale", "-n", fake_model]
        process = subprocess.Popen(
            [*line, "--backend", "fake", *map(str, arguments)],
            preexec_fn=prepare,
            stdout=terminal or subprocess.PIPE,
            stderr=terminal or subprocess.PIPE,
            text=True,
            **options,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def picture():
    """Write a small RGB picture and return its path."""

    def make(path: Path, seed=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(6, 8, 3, seed=seed)).save(path, format=None if path.suffix else "PNG")
        return path

    return make


def listing(folder: Path) -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(
        os.path.relpath(Path(at) / name, folder)
        for at, _, names in os.walk(folder)
        for name in names
    )


@pytest.fixture
def files():
    return listing
