"""Tiles whose size nobody ordered: chosen by the memory, in Python and in C alike."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from c_interface import CANCELLED, Engine, Failed, library

from imagen_fast import c_library, load
from imagen_fast.backends import memory, native
from imagen_fast.bundle import Bundle, save_bundle
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


def tiles_in_python(path: Path, precision: str, height: int, width: int) -> int:
    with load(path, backend="native", precision=precision) as engine:
        grid, _ = engine._cut(height, width)
        return len(grid.rows) * len(grid.columns)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_c_cuts_as_python_does(
    precision: str, model: Path, lib: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(260, 300), (97, 700), (181, 180)]
    counts = []
    for budget in (5 * MB, 9_999_999, 20 * MB, 60 * MB):
        monkeypatch.setattr(native, "BUDGET", budget)
        with Engine(lib, model, precision=precision, memory=budget) as engine:
            for size in sizes:
                counts.append(tiles_in_c(engine, *size))
                assert counts[-1] == tiles_in_python(model, precision, *size), (budget, size)
    assert len(set(counts)) > 3  # or else the budget does not matter here


@pytest.mark.skipif(memory.available() < 3 << 30, reason="less than 3 GiB are free")
def test_c_cuts_as_python_does_when_nothing_is_set(model: Path, lib: ctypes.CDLL) -> None:
    """Sizes just below and above what one tile may have."""
    with load(model, backend="native") as engine:
        pixels = engine._open().capacity
    found = []
    with Engine(lib, model) as engine_in_c:
        for width in (pixels // 7, pixels // 7 + 1):
            found.append(tiles_in_c(engine_in_c, 7, width))
            assert found[-1] == tiles_in_python(model, "auto", 7, width)
    assert found[0] == 1 < found[1]


WIDE = ModelSpec(scale=1, levels=(Level(64, convs=0),))
BYTES = 4 * 4 * 64  # of a pixel's feature maps in fp32: three planes, and the stem's output


@pytest.mark.parametrize(
    ("free", "expected"), [(1 << 40, 512 * MB), (2 << 30, 512 * MB), (100 * MB, 25 * MB)]
)
def test_feature_maps_fit_in_512_mib_and_in_a_quarter_of_what_is_free(
    free: int, expected: int, bundle_of: Callable[[ModelSpec], Bundle],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(memory, "available", lambda: free)
    assert native.Native(bundle_of(WIDE), precision="fp32").capacity == expected // BYTES


@pytest.mark.skipif(memory.available() < 3 << 30, reason="less than 3 GiB are free")
def test_feature_maps_of_a_large_picture_in_c_take_512_mib(
    lib: ctypes.CDLL, bundle_of: Callable[[ModelSpec], Bundle], tmp_path: Path
) -> None:
    save_bundle(bundle_of(WIDE), tmp_path / "m.safetensors")
    with Engine(lib, tmp_path / "m.safetensors", precision="fp32", threads=1) as engine:
        assert 0.9 * 512 * MB < engine.memory(6000, 6000) < 1.1 * 512 * MB
