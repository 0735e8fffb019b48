"""What is installed: the wheel's contents, and the guard of the folders that install elsewhere."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

EXTENSION = sysconfig.get_config_var("EXT_SUFFIX")
ROOT = Path(__file__).parents[1]
IGNORED = (".*", "build", "dist", "*.egg-info", "runs", "demo", "tests")
LEFT_OUT = shutil.ignore_patterns(*IGNORED)
# Folder of the repository → where its modules lie in the wheel.
PACKAGES = {
    "imagen_fast": "imagen_fast",
    "kernels": "imagen_fast/kernels",
    "export": "imagen_fast/export",
}
SUFFIXES = (".py", ".pyi", ".typed", ".safetensors", ".png", EXTENSION)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The names of the files in a wheel built from a copy of the tree."""
    tree = tmp_path_factory.mktemp("tree") / "project"
    shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, timeout=300)
    (path,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_without_a_compiler_the_wheel_is_built_all_the_same(tmp_path):
    tree = tmp_path / "project"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*IGNORED, "*.so"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", "."]
    environment = {**os.environ, "CC": "/bin/false", "CXX": "/bin/false"}
    subprocess.run(command, cwd=tree, check=True, capture_output=True, timeout=300, env=environment)
    (path,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert "imagen_fast/backends/native.py" in names
    assert not [name for name in names if "_native." in name and name.endswith(EXTENSION)]


@pytest.mark.parametrize("folder", PACKAGES)
def test_every_module_is_in_the_wheel(wheel, folder):
    modules = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.py")]
    assert modules
    missing = [m for m in modules if f"{PACKAGES[folder]}/{m.as_posix()}" not in wheel]
    assert not missing


def test_weights_and_typing_marker_are_in_the_wheel(wheel):
    shipped = (ROOT / "imagen_fast" / "weights").glob("*.safetensors")
    weights = {f"imagen_fast/weights/{path.name}" for path in shipped}
    assert weights
    assert weights <= wheel
    assert "imagen_fast/py.typed" in wheel


def test_the_photograph_that_exports_are_verified_on_is_in_the_wheel(wheel):
    assert "imagen_fast/export/photograph.png" in wheel


def test_the_native_engine_and_its_types_are_in_the_wheel(wheel):
    assert f"imagen_fast/_native{EXTENSION}" in wheel
    assert "imagen_fast/_native.pyi" in wheel


def test_nothing_else_is_in_the_wheel(wheel):
    strangers = [
        name
        for name in wheel
        if not name.startswith("imagen_fast")
        or (".dist-info/" not in name and not name.endswith(SUFFIXES))
    ]
    assert not strangers


@pytest.mark.parametrize("folder", ["kernels", "export"])
def test_the_folder_itself_refuses_to_be_imported(folder):
    code = f"import {folder}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert f"import imagen_fast.{folder}" in done.stderr.splitlines()[-1]
    subprocess.run([sys.executable, "-c", f"import imagen_fast.{folder}"], check=True, timeout=60)
