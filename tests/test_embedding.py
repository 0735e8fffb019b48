"""Programs in C and C++ built with the installed wheel, in a clean folder, by a compiler alone."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagen_fast import load
from imagen_fast.catalogue import resolve

EXAMPLES = Path(__file__).parents[1] / "examples"
PAGE = EXAMPLES.parent / "docs" / "embed.md"
PICTURE = EXAMPLES / "photographs" / "osprey.png"
MODEL = "sr-x4-tiny"
CORNER = (101, 67)  # width and height: odd, and quickly done
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]


class Place:
    """An installed wheel and a clean folder, with no other variables in the environment."""

    def __init__(self, installed: Path, folder: Path) -> None:
        self.installed, self.folder = installed, folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}

    def run(self, *command: object, **variables: str) -> str:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def refused(self, *command: object) -> str:
        """What a command that fails says."""
        line = [str(part) for part in command]
        done = subprocess.run(line, cwd=self.folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1
        return done.stderr

    def config(self, *options: str) -> str:
        """What `imagen-fast config` prints."""
        command = (sys.executable, "-m", "imagen_fast", "config", *options)
        return self.run(*command, PYTHONPATH=str(self.installed))


@pytest.fixture(scope="module")
def installed(wheel_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed") / "a folder"  # with what a shell would split
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, "--target", folder, wheel_path], check=True, timeout=120)
    return folder


@pytest.fixture
def place(installed: Path, tmp_path: Path) -> Place:
    shutil.copytree(EXAMPLES / "c", tmp_path / "c")
    shutil.copytree(EXAMPLES / "cpp", tmp_path / "cpp")
    with Image.open(PICTURE) as picture:
        picture.convert("RGB").crop((0, 0, *CORNER)).save(tmp_path / "in.ppm")
    return Place(installed, tmp_path)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """The Python engine's answer."""
    with Image.open(PICTURE) as picture, load(MODEL, backend="native") as engine:
        return engine(np.asarray(picture.convert("RGB").crop((0, 0, *CORNER))))


def compiler(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"needs a compiler: {' or '.join(names)}")


def check(program: str, place: Place, expected: np.ndarray) -> None:
    place.run(program, resolve(MODEL), "in.ppm", "out.ppm")
    width, height = (4 * side for side in CORNER)
    picture = f"P6\n{width} {height}\n255\n".encode() + expected.tobytes()
    assert (place.folder / "out.ppm").read_bytes() == picture


# What else may lie between a file's magic number and its pixels, and what is refused.
HEADERS = (
    b"P6\n5 4\n255\n",
    b"P6\n# by a program\n5 4\n255\n",
    b"P6 # 9\n#\n5#\n\t4\r\n\n# 65535\n255 ",
)
WRONG_HEADERS = (
    b"P6\n5 4\n65535\n",
    b"P6\n5 4\n2\n",
    b"P6\n5 4\n# 255",
    b"P6\n5 4\n255#",
    b"P5\n5 4\n255\n",
    b"P6\n5 -4\n255\n",
    b"P6\n5 # 4\n255\n",
)


def check_headers(program: str, place: Place) -> None:
    small, large = place.folder / "small.ppm", place.folder / "large.ppm"
    pixels, results = bytes(range(60)), set()
    for header in HEADERS:
        small.write_bytes(header + pixels)
        place.run(program, resolve(MODEL), small, large)
        results.add(large.read_bytes())
        large.unlink()
    assert len(results) == 1
    for header in WRONG_HEADERS:
        small.write_bytes(header + 2 * pixels)
        refused = place.refused(program, resolve(MODEL), small, large)
        assert "no PPM picture of 8 bits" in refused, header
        assert not large.exists()


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_the_example_in_c(static: bool, place: Place, expected: np.ndarray) -> None:
    cc = compiler("cc", "gcc", "clang")
    flags = shlex.split(place.config("--cflags", "--libs", *(["--static"] if static else [])))
    assert str(place.installed) in flags[0]
    place.run(cc, "-std=c99", *STRICT, "c/upscale.c", *flags, "-o", "upscale")
    check("./upscale", place, expected)
    check_headers("./upscale", place)
    refused = place.refused("./upscale", resolve("texture"), "in.ppm", "absent.ppm")
    assert "no picture of a picture" in refused
    read = place.run(cc, "-M", "c/upscale.c", flags[0]).replace("\\ ", " ")
    assert "imagen_fast.h" in read
    assert not [word for word in read.split() if "ython.h" in word or "torch" in word]
    assert len((EXAMPLES / "c" / "upscale.c").read_text().splitlines()) <= 75


def test_the_example_in_c_by_pkg_config(place: Place, expected: np.ndarray) -> None:
    cc, pkg_config = compiler("cc", "gcc", "clang"), pkg_config_or_skip()
    found = {"PKG_CONFIG_PATH": place.config("--pkgconfigdir")}
    flags = place.run(pkg_config, "--cflags", "--libs", "imagen_fast >= 0.1", **found)
    place.run(cc, "c/upscale.c", *shlex.split(flags), "-o", "upscale")
    libraries = {"LD_LIBRARY_PATH": place.config("--libdir")}
    place.environment.update(libraries)
    check("./upscale", place, expected)


def test_pkg_config_with_an_rpath_as_the_page_says(place: Place, expected: np.ndarray) -> None:
    compiler("cc")
    pkg_config_or_skip()
    # In a folder whose name a shell does not split, as the line is not written for others.
    (place.folder / "package").symlink_to(place.installed / "imagen_fast")
    place.environment["PKG_CONFIG_PATH"] = str(place.folder / "package/lib/pkgconfig")
    (place.folder / "program.c").write_text((EXAMPLES / "c" / "upscale.c").read_text())
    place.run("sh", "-ec", PAGE.read_text().split("```sh\n")[1].split("```")[0])
    check("./program", place, expected)


def pkg_config_or_skip() -> str:
    return shutil.which("pkg-config") or pytest.skip("needs pkg-config")


@pytest.mark.parametrize("static", ["OFF", "ON"])
def test_the_example_in_cpp(static: str, place: Place, expected: np.ndarray) -> None:
    cmake, _ = cmake_or_skip()
    folder = place.config("--cmakedir")
    place.run(cmake, "-S", "cpp", "-B", "b", f"-Dimagen_fast_DIR={folder}", f"-DSTATIC={static}",
              f"-DCMAKE_CXX_FLAGS={' '.join(STRICT)}")  # fmt: skip
    place.run(cmake, "--build", "b")
    if static == "ON":  # the program is whole: it runs without what it was built with
        moved = place.installed.with_name("elsewhere")
        place.installed.rename(moved)
        try:
            check("b/upscale", place, expected)
        finally:
            moved.rename(place.installed)
        return
    check("b/upscale", place, expected)
    check_headers("b/upscale", place)
    for arguments, message in {
        ("in.ppm", "in.ppm", "out.ppm"): "in.ppm: not a safetensors file",
        (resolve(MODEL), "cpp/upscale.cc", "out.ppm"): "cpp/upscale.cc: no PPM picture",
        (resolve(MODEL), "in.ppm", "absent/out.ppm"): "absent/out.ppm: cannot write",
        (resolve("texture"), "in.ppm", "out.ppm"): "no picture of a picture",
        (resolve("stylize"), "in.ppm", "out.ppm"): "no picture of a picture",
        (resolve(MODEL), "in.ppm", "out.ppm", "two"): "THREADS is two; expected a number",
        (resolve(MODEL), "in.ppm", "out.ppm", "2x"): "THREADS is 2x; expected a number",
    }.items():
        assert message in place.refused("b/upscale", *arguments)


@pytest.mark.parametrize(
    ("language", "names", "arguments"),
    [
        ("c", ("cc", "gcc", "clang"), "unsigned char *pixels, unsigned char *large"),
        ("cpp", ("c++", "g++", "clang++"), "std::vector<unsigned char> pixels"),
    ],
)
def test_what_the_page_shows_compiles(
    language: str, names: tuple[str, ...], arguments: str, place: Place
) -> None:
    include, body = PAGE.read_text().split(f"```{language}\n")[1].split("```")[0].split("\n", 1)
    function = f"int run({arguments}, int height, int width) {{\n{body}\nreturn 0;\n}}"
    source = place.folder / f"page.{language}"
    source.write_text(f"{include}\n#include <stdio.h>\n{function}\n")
    place.run(compiler(*names), "-fsyntax-only", *shlex.split(place.config("--cflags")), source)


def test_the_page_s_generator_runs(place: Place) -> None:
    """It asks for the inputs that `texture` as shipped has."""
    example = PAGE.read_text().split("```cpp\n")[2].split("```")[0]
    arrays = {
        "start": 4 * 6 * 48,
        "fine": 16 * 24 * 32,
        "middle": 8 * 12 * 64,
        "coarse": 4 * 6 * 128,
    }
    lines = [f"std::vector<float> {name}({size}, 0.5f);" for name, size in arrays.items()]
    shown = 'for (auto& x : results) std::printf("%s %zu ", x.name.c_str(), x.values.size());'
    body = "\n".join([*lines, example, shown])
    source = f"#include <cstdio>\n#include <imagen_fast.hpp>\nint main() {{\n{body}\n}}\n"
    (place.folder / "page.cc").write_text(source)
    shutil.copy(resolve("texture"), place.folder / "texture.safetensors")
    flags = shlex.split(place.config("--cflags", "--libs"))
    place.run(compiler("c++", "g++", "clang++"), "-std=c++17", "page.cc", *flags, "-o", "page")
    name, size, coarser, quarter = place.run("./page").split()
    assert (name, coarser) == ("sample", "sample.1")
    assert int(size) == 4 * int(quarter) > 0


def cmake_or_skip() -> tuple[str, str]:
    if not (cmake := shutil.which("cmake")):
        pytest.skip("needs cmake")
    return cmake, compiler("c++", "g++", "clang++")


def test_cmake_is_told_what_is_wrong(place: Place, tmp_path: Path) -> None:
    cmake, _ = cmake_or_skip()
    (tmp_path / "p").mkdir()

    def configure(version: str, folder: str) -> str:
        (tmp_path / "p" / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.15)\nproject(p LANGUAGES C)\n"
            f"find_package(imagen_fast {version} REQUIRED)\n"
        )
        command = [cmake, "-S", "p", "-B", "q", f"-Dimagen_fast_DIR={folder}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return "" if done.returncode == 0 else " ".join(done.stderr.split())

    folder = place.config("--cmakedir")
    assert configure("0.1", folder) == ""
    for version in ("0.0.9", "0.1.99", "0.2", "1.0"):
        assert "version: 0.1.0" in configure(version, folder)
    shutil.copytree(place.installed / "imagen_fast", tmp_path / "imagen_fast")
    (tmp_path / "imagen_fast" / "lib" / "libimagen_fast.a").unlink()
    without = str(tmp_path / "imagen_fast" / "lib" / "cmake" / "imagen_fast")
    assert "installed without its native engine" in configure("0.1", without)


def test_config_loads_no_torch(place: Place) -> None:
    code = (
        "import sys; from imagen_fast.cli import main; "
        "main(['config'], standalone_mode=False); "
        "print(*sorted({'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules)), sep='')"
    )
    printed = place.run(sys.executable, "-c", code, PYTHONPATH=str(place.installed)).splitlines()
    assert printed[-1] == "libraries     shared and static"  # and an empty line
    assert all(str(place.installed) in line for line in printed[1:-1])
