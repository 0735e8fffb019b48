"""Large results lie where one lay that nobody holds any more, and nowhere else."""

import numpy as np
import pytest

from imagen_fast.bundle import Bundle

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 1, 600, 600, 3), np.uint8)


def run(engine: "_native.Engine", image: np.ndarray) -> np.ndarray:
    outputs = engine.run({"image": image}, ["picture"])
    assert outputs is not None
    picture: np.ndarray = outputs["picture"]
    return picture


def test_memory_that_was_let_go_is_used_again(tiny_bundle: Bundle) -> None:
    engine = _native.Engine(tiny_bundle.graph.to_json(), tiny_bundle.tensors)
    first = run(engine, PICTURES[0])
    assert first.nbytes > 4 << 20  # smaller ones are the allocator's
    assert first.flags.writeable
    assert first.flags.c_contiguous
    expected, place = first.copy(), first.ctypes.data
    part = first[:, 5:]
    del first
    other = run(engine, PICTURES[1])  # `part` still holds the first
    assert other.ctypes.data != place
    np.testing.assert_array_equal(part, expected[:, 5:])
    del part
    again = run(engine, PICTURES[0])
    assert again.ctypes.data == place
    np.testing.assert_array_equal(again, expected)
    smaller = run(engine, PICTURES[0][:, :599])
    assert smaller.shape[1] == 599 * again.shape[1] // 600
    np.testing.assert_array_equal(again, expected)


def test_results_outlive_their_engine(tiny_bundle: Bundle) -> None:
    engine = _native.Engine(tiny_bundle.graph.to_json(), tiny_bundle.tensors)
    result = run(engine, PICTURES[0])
    expected = result.copy()
    del engine
    np.testing.assert_array_equal(result, expected)
    result[:] = 0
