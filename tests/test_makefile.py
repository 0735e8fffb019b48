"""What the targets of the Makefile would do in a fresh clone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def made(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `make` says in a folder that has what a clone has of the installation."""
    if not (make := shutil.which("make")):
        pytest.skip("needs make")
    for name in ("Makefile", "pyproject.toml", "setup.py", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    # Not as a part of the `make test` that may run this: it would say which folder it enters.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = [make, *arguments]
    return subprocess.run(command, cwd=folder, env=outside, capture_output=True, text=True)


def lines(target: str, folder: Path) -> list[str]:
    """The commands of a target where nothing is set up yet, none of them run."""
    done = made(folder, "--dry-run", target)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_demo_installs_the_core_alone(tmp_path: Path) -> None:
    installs = [line for line in lines("demo", tmp_path) if "pip install" in line]
    assert [line.partition("pip install")[2] for line in installs] == [" --quiet -e ."]


@pytest.mark.parametrize("target", ["test", "check", "bench"])
def test_developing_adds_to_what_the_demo_installs_and_builds_once(
    target: str, tmp_path: Path
) -> None:
    before = [line for line in lines("demo", tmp_path) if not line.endswith("demo.py")]
    commands = lines(target, tmp_path)
    assert commands[: len(before)] == before
    rest = "\n".join(commands[len(before) :])
    assert "'imagen-fast[dev]'" in rest  # which is there, so that pip adds what the extra names
    assert "-e ." not in rest


def test_a_session_that_fails_does_not_keep_others_from_running(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho ran "$@"\nexit 1\n')
    python.chmod(0o755)
    stamps = [f".venv/{name}" for name in (".installed", ".ready")]
    done = made(tmp_path, f"BIN={tmp_path}", *(f"--old-file={x}" for x in stamps), "test")
    assert done.returncode != 0
    assert done.stdout.count("ran -m pytest") == 3
