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
from c_interface import CANCELLED, INVALID, Engine, Failed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imagen_fast import TilingError, c_library, load
from imagen_fast.backends import memory, native
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.engine import Engine as PythonEngine
from imagen_fast.graph import Input, Output
from imagen_fast.graph.builder import Builder
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
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    budget=st.integers(5 * MB, 60 * MB),
    sizes=st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=3),
    overlap=st.none() | st.integers(0, 40),
)
@example(budget=5 * MB, sizes=[(260, 300), (97, 700), (181, 180)], overlap=None)
def test_c_cuts_as_python_does(
    precision: str, model: Path, lib: ctypes.CDLL, budget: int, sizes: list[tuple[int, int]],
    overlap: int | None,
) -> None:  # fmt: skip
    """Or both refuse an overlap for which the memory has no room."""
    in_c = {None: 0, 0: -1}.get(overlap, overlap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native.Native, "budget", budget)
        try:
            twin = load(model, backend="native", precision=precision, overlap=overlap)
        except TilingError:
            with pytest.raises(Failed):
                Engine(lib, model, precision=precision, memory=budget, overlap=in_c)
            return
        with twin, Engine(
            lib, model, precision=precision, memory=budget, overlap=in_c
        ) as engine:  # fmt: skip
            for size in sizes:
                assert tiles_in_c(engine, *size) == tiles_in_python(twin, *size), size


WIDE, WIDER = (ModelSpec(scale=1, levels=(Level(wide, convs=0),)) for wide in (128, 384))


@pytest.mark.skipif(memory.available() < 3 << 30, reason="less than 3 GiB are free")
def test_feature_maps_of_a_large_picture_in_c_take_512_mib(
    lib: ctypes.CDLL, bundle_of: Callable[[ModelSpec], Bundle], tmp_path: Path
) -> None:
    save_bundle(bundle_of(WIDER), tmp_path / "m.safetensors")
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


@pytest.mark.parametrize("read", [True, False])
def test_means_over_the_picture_are_not_cut_unasked(
    read: bool, lib: ctypes.CDLL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In C as in Python; unless the picture does not depend on them, but another output alone."""
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)
    b.add("reduce", "mean", "image", function="mean", over="picture")
    b.add("sum", "added", "image", *(["mean"] if read else []), scale=0.5)
    b.outputs["picture"], b.outputs["mean"] = Output("added", picture=True), Output("mean")
    path, budget, size = tmp_path / "m.safetensors", 5 * MB, (1500, 1400)
    save_bundle(Bundle(b.graph(), {}), path)
    monkeypatch.setattr(native.Native, "budget", budget)
    whole = (100, 130)
    with Engine(lib, path, precision="fp32", memory=budget) as engine:
        assert tiles_in_c(engine, *whole) == 1
        if not read:
            assert tiles_in_c(engine, *size) > 1
            return
        for refused in (lambda: tiles_in_c(engine, *size), lambda: engine.memory(*size)):
            with pytest.raises(Failed, match=r"means over the whole picture.*choose a tile") as got:
                refused()
            assert got.value.status == INVALID
    with load(path, backend="native", precision="fp32") as twin, pytest.raises(TilingError):
        tiles_in_python(twin, *size)
    with Engine(lib, path, precision="fp32", memory=budget, tile=512) as engine:
        assert tiles_in_c(engine, *size) > 1
