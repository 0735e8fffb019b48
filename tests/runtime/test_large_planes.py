"""Pictures whose planes are written past the caches give what smaller ones give."""

import numpy as np
import pytest

from imagen_fast import catalogue
from imagen_fast.bundle import load_bundle

native = pytest.importorskip("imagen_fast.backends.native")
pytest.importorskip("imagen_fast._native", reason="the extension is not built")


def test_large_planes() -> None:
    backend = native.Native(load_bundle(catalogue.resolve("sr-x4-tiny")), threads=2)
    wide = np.random.default_rng(0).integers(0, 256, (1, 272, 4096, 3), np.uint8)
    whole = backend.run(wide)  # 68 MiB a plane in bf16
    part = backend.run(wide[:, :, :512])
    np.testing.assert_array_equal(whole[:, :, : 4 * 384], part[:, :, : 4 * 384])
