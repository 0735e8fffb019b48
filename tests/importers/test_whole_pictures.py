"""Networks that compute means over the picture: whole, or in tiles only for those who ask."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest

import imagen_fast
from imagen_fast import importers
from imagen_fast.backends import memory
from imagen_fast.backends.eager import Eager
from imagen_fast.backends.native import Native
from imagen_fast.bundle import load_bundle, save_bundle
from imagen_fast.errors import TilingError

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("whole")
    networks.export(networks.network("squeeze"), folder / "a.onnx")
    save_bundle(importers.load(folder / "a.onnx"), folder / "a.safetensors")
    return str(folder / "a.safetensors")


PICTURE = np.random.default_rng(0).random((40, 56, 3), np.float32)


def test_the_whole_picture_is_one_tile(model: str) -> None:
    with imagen_fast.load(model, backend="eager") as engine:
        whole = engine(PICTURE)
        assert engine.exact_overlap is None
        assert np.array_equal(whole, engine.run(PICTURE[None])[0])


def test_tiles_that_were_asked_for_are_warned_of(model: str) -> None:
    engine = imagen_fast.load(model, backend="eager", tile=32)
    with engine, pytest.warns(RuntimeWarning, match="means over the whole picture"):
        engine(PICTURE)


def test_what_does_not_fit_is_refused(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with imagen_fast.load(model, backend="eager") as engine:
        monkeypatch.setattr(Eager, "capacity", property(lambda self: 40 * 56 - 1))
        with pytest.raises(TilingError, match=r"56 × 40 pixels takes more memory.*tile size"):
            engine(PICTURE)


def test_the_whole_picture_may_take_more_memory_than_tiles(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = Eager(load_bundle(Path(model)))
    pixels = []
    for gigabytes in (16, 32):
        monkeypatch.setattr(memory, "available", lambda x=gigabytes: x << 30)
        pixels.append(eager.capacity)
    assert pixels[1] == pytest.approx(2 * pixels[0], rel=1e-3)


@pytest.mark.skipif(memory.available() < 3 << 30, reason="less than 3 GiB are free")
def test_it_may_on_native_too(model: str, tmp_path: Path) -> None:
    pytest.importorskip("imagen_fast._native", reason="the extension is not built")
    whole = Native(load_bundle(Path(model)))
    networks.export(networks.network("1×1"), tmp_path / "a.onnx")
    tiled = Native(importers.load(tmp_path / "a.onnx"))
    for backend, more in ((whole, True), (tiled, False)):
        unasked = backend.capacity
        backend.budget = 512 << 20  # type: ignore[misc]
        assert (unasked > 1.1 * backend.capacity) is more
