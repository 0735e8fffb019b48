"""Networks that compute means over the picture: whole, or in tiles only for those who ask."""

from __future__ import annotations

import networks
import numpy as np
import pytest

import imagen_fast
from imagen_fast import importers
from imagen_fast.backends.eager import Eager
from imagen_fast.bundle import save_bundle
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
