"""Tiles whose size nobody ordered: chosen by the memory, in Python and in C alike."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from c_interface import CANCELLED, Engine, Failed, library

from imagen_fast import c_library, load
from imagen_fast.backends import memory, native
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.engine import Engine as PythonEngine
from imagen_fast.image.picture import Picture
from imagen_fast.spec import Level, ModelSpec

if missing := c_library.missing():
    pytest.skip(missing, allow_module_level=True)
_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

MB = 1 << 20
SPECS = {
    "one level": ModelSpec(scale=2, levels=(Level(32, convs=0),)),
    "pixels of 24 channels": ModelSpec(
        scale=1, levels=(Level(24, convs=0), Level(48, convs=0)), head_dim=24
    ),
    "three levels": ModelSpec(
        scale=2, levels=(Level(32, convs=0), Level(64, convs=0), Level(96, convs=0)), window=4
    ),
}
PRECISIONS = [p for p in ("fp32", "bf16") if _native.available(p)]


@pytest.fixture(scope="module")
def lib() -> ctypes.CDLL:
    return library()


@pytest.fixture(params=SPECS.values(), ids=SPECS, scope="module")
def model(
    request: pytest.FixtureRequest,
    bundle_of: Callable[[ModelSpec], Bundle],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_bundle(bundle_of(request.param), path)
    return path


def tiles_in_c(engine: Engine, height: int, width: int) -> int:
    """Into how many tiles a picture is cut: told after the first, which is enough."""
    picture = np.zeros((1, height, width, 3), np.uint8)
    out = np.empty((1, engine.scale * height, engine.scale * width, 3), np.uint8)
    done: list[float] = []
    try:
        engine.run_into(picture, out, progress=done.append, cancelled=lambda: bool(done))
    except Failed as error:
        if error.status != CANCELLED:
            raise
    return round(1 / done[0])


def tiles_in_python(engine: PythonEngine, height: int, width: int) -> int:
    picture = Picture(np.zeros((height, width, 3), np.uint8))
    done: list[float] = []
    next(engine.stream(picture, done.append))
    return round(1 / done[0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_c_cuts_as_python_does(
    precision: str, model: Path, lib: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(260, 300), (97, 700), (181, 180)]
    counts = []
    for budget in (5 * MB, 9_999_999, 20 * MB, 60 * MB):
        monkeypatch.setattr(native, "BUDGET", budget)
        with (
            Engine(lib, model, precision=precision, memory=budget) as engine,
            load(model, backend="native", precision=precision) as twin,
        ):
            for size in sizes:
                counts.append(tiles_in_c(engine, *size))
                assert counts[-1] == tiles_in_python(twin, *size), (budget, size)
    assert len(set(counts)) > 3  # or else the budget does not matter here


WIDE = ModelSpec(scale=1, levels=(Level(128, convs=0),))
BYTES = 2 * 4 * 128  # of a pixel's feature maps in fp32: two planes live at a time


@pytest.mark.parametrize(
    ("free", "expected"), [(1 << 40, 512 * MB), (2 << 30, 512 * MB), (100 * MB, 25 * MB)]
)
def test_feature_maps_fit_in_512_mib_and_in_a_quarter_of_what_is_free(
    free: int, expected: int, bundle_of: Callable[[ModelSpec], Bundle],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(memory, "available", lambda: free)
    capacity = native.Native(bundle_of(WIDE), precision="fp32").capacity
    assert 0.98 < capacity * BYTES / expected < 1  # planes have borders, and threads scratch


@pytest.mark.skipif(memory.available() < 3 << 30, reason="less than 3 GiB are free")
def test_feature_maps_of_a_large_picture_in_c_take_512_mib(
    lib: ctypes.CDLL, bundle_of: Callable[[ModelSpec], Bundle], tmp_path: Path
) -> None:
    save_bundle(bundle_of(WIDE), tmp_path / "m.safetensors")
    with Engine(lib, tmp_path / "m.safetensors", precision="fp32", threads=1) as engine:
        assert 0.9 * 512 * MB < engine.memory(6000, 6000) < 1.1 * 512 * MB


def test_as_much_is_free_as_the_system_says_now(
    bundle_of: Callable[[ModelSpec], Bundle], tmp_path: Path
) -> None:
    """A quarter of it counts. A picture as large as the one before is cut as that one was, though
    the engine itself has taken memory since: it comes out the same, bit by bit."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("needs a C compiler")
    source, double = Path(__file__).parent / "meminfo_double.c", tmp_path / "meminfo.so"
    subprocess.run([compiler, "-shared", "-fPIC", source, "-o", double, "-ldl"], check=True)
    save_bundle(bundle_of(WIDE), tmp_path / "m.safetensors")
    # 400 MiB leave 100, which hold 319²; 200 MiB 225². 512 MiB, the most, hold 722².
    steps = ((400, 290), (200, 290), (200, 289), (400, 289), (400, 290), (9000, 730))
    code = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from c_interface import Engine, library
from test_automatic_tiles import tiles_in_c, tiles_in_python
import imagen_fast
free, model = Path(sys.argv[1]), sys.argv[2]

def now(megabytes):
    free.write_text(f"MemTotal: 9999999 kB\\nMemAvailable: {{megabytes << 10}} kB\\n")

now(400)
counts = {{"Python": [], "C": []}}
python = imagen_fast.load(model, backend="native", precision="fp32")
c = Engine(library(), model, precision="fp32")
for megabytes, size in {steps}:
    now(megabytes)
    counts["Python"].append(tiles_in_python(python, size, size))
    counts["C"].append(tiles_in_c(c, size, size))
print(json.dumps(counts))
"""
    facts = tmp_path / "meminfo"
    facts.write_text("MemAvailable: 409600 kB\n")
    done = subprocess.run(
        [sys.executable, "-c", code, facts, tmp_path / "m.safetensors"],
        env={**os.environ, "LD_PRELOAD": str(double), "DOUBLE_MEMINFO": str(facts)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["Python"] == [1, 1, 4, 4, 1, 4]
    assert counts["C"] == counts["Python"]
