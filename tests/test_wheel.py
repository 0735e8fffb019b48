"""What is installed: the wheel's contents, and the guard of the folders that install elsewhere."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from imagen_fast import c_library

EXTENSION = sysconfig.get_config_var("EXT_SUFFIX")
ROOT = Path(__file__).parents[1]
# What C and C++ programs need, beside the headers.
LIBRARY = {
    f"imagen_fast/lib/{name}"
    for name in (
        *("libimagen_fast.a", "libimagen_fast.so", c_library.shared().name),
        *("pkgconfig/imagen_fast.pc", "cmake/imagen_fast/imagen_fastConfig.cmake"),
        "cmake/imagen_fast/imagen_fastConfigVersion.cmake",
    )
}
HEADERS = {f"imagen_fast/include/imagen_fast.{suffix}" for suffix in ("h", "hpp")}
# Folder of the repository → where its modules lie in the wheel.
PACKAGES = {
    "imagen_fast": "imagen_fast",
    "kernels": "imagen_fast/kernels",
    "export": "imagen_fast/export",
}
SUFFIXES = (".py", ".pyi", ".typed", ".safetensors", ".png", ".html", EXTENSION)


@pytest.fixture(scope="module")
def wheel(wheel_path):
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel_path) as archive:
        return set(archive.namelist())


def test_without_a_compiler_an_install_fails_and_says_what_to_do(build_wheel, tmp_path):
    """pip shows nothing of a build that succeeds: a warning in it would be seen by nobody."""
    with pytest.raises(subprocess.CalledProcessError) as caught:
        build_wheel(tmp_path / "project", CC="/bin/false", CXX="/bin/false")
    said = caught.value.stderr.decode() + caught.value.stdout.decode()
    assert "imagen-fast was NOT installed" in said
    assert "apt install g++ python3-dev" in said
    assert "IMAGEN_FAST_WITHOUT_NATIVE=1 pip install '.[torch]'" in said
    assert not list((tmp_path / "project").glob("dist/*.whl"))


def test_a_wheel_without_the_engine_has_to_be_asked_for_and_says_so_when_used(
    build_wheel, tmp_path
):
    path = build_wheel(tmp_path / "project", CC="/bin/false", IMAGEN_FAST_WITHOUT_NATIVE="1")
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert "imagen_fast/backends/native.py" in names
    assert names >= HEADERS
    built = [name for name in names if "_native." in name and name.endswith(EXTENSION)]
    assert not built
    assert not [name for name in names if "libimagen_fast" in name]

    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    for arguments, code, output in ((("--libs",), 1, "stderr"), ((), 0, "stdout")):
        done = subprocess.run(
            [sys.executable, "-m", "imagen_fast", "config", *arguments],
            **{"capture_output": True, "text": True, "cwd": tmp_path, "env": environment},
        )
        assert done.returncode == code
        said = getattr(done, output)
        assert f"{c_library.shared().name} and libimagen_fast.a: not built" in said
        assert "install a C++17 compiler" in said

    # Without PyTorch as well, nothing works.
    # An editable install would lend its engine to this one.
    code = (
        "import sys; sys.modules['torch'] = sys.modules['imagen_fast._native'] = None\n"
        "from imagen_fast.cli import main; main({})"
    )
    missing = "the native engine was not built when imagen-fast was installed; install a C++17"
    (tmp_path / "a.png").write_bytes((ROOT / "docs/side-by-side.png").read_bytes())
    for arguments, output in ((["doctor"], "stdout"), (["upscale", "a.png"], "stderr")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(arguments)],
            **{"capture_output": True, "text": True, "cwd": tmp_path, "env": environment},
        )
        assert done.returncode == 1
        assert missing in getattr(done, output)
        assert "pip install '.[torch]'" in getattr(done, output)
    assert not (tmp_path / "a_x4.png").exists()


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


def test_what_commands_read_is_in_the_wheel(wheel):
    assert {"imagen_fast/export/photograph.png", "imagen_fast/tasks/explain.html"} <= wheel


def test_the_native_engine_and_its_types_are_in_the_wheel(wheel):
    assert f"imagen_fast/_native{EXTENSION}" in wheel
    assert "imagen_fast/_native.pyi" in wheel


def test_the_c_library_is_in_the_wheel(wheel):
    assert {name for name in wheel if "/lib/" in name} == LIBRARY
    assert {name for name in wheel if "/include/" in name} == HEADERS


def test_nothing_else_is_in_the_wheel(wheel):
    strangers = [
        name
        for name in wheel - LIBRARY - HEADERS
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
