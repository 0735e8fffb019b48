"""Where a picture has no colour nearby, its enlargement has none."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagen_fast.image.neutral import channel_mean, keep_neutral


@settings(deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 14),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.02, 0.2]),
    st.sampled_from([np.uint8, np.float32]),
    st.integers(0, 99),
)
@example(70, 5, 2, 0.02, np.uint8, 0)  # higher than what is computed at a time
def test_pixels_up_to_two_from_colour_stay_and_others_take_their_mean(
    height: int, width: int, scale: int, share: float, dtype: type, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    top = 255 if dtype == np.uint8 else 1
    tiles = np.repeat(rng.random((2, height, width, 1)) * top, 3, axis=3).astype(dtype)
    tiles[rng.random((2, height, width)) < share, rng.integers(3)] += dtype(1)  # 255 becomes 0
    before = (rng.random((2, scale * height, scale * width, 3)) * top).astype(dtype)
    output = before.copy()
    keep_neutral(tiles, output)
    colored = np.argwhere(np.ptp(tiles.astype(float), axis=3) > 0)
    for n, y, x in np.ndindex(2, height, width):
        near = any(n == m and max(abs(y - b), abs(x - a)) <= 2 for m, b, a in colored)
        block = np.s_[n, scale * y : scale * (y + 1), scale * x : scale * (x + 1)]
        if near:
            np.testing.assert_array_equal(output[block], before[block])
        else:
            assert (np.ptp(output[block], axis=-1) == 0).all()
            mean = before[block].astype(float).mean(-1)
            assert np.abs(output[block][..., 0] - mean).max() <= (0.34 if top == 255 else 1e-6)


@pytest.mark.parametrize("value", range(252, 256))
def test_the_mean_of_bytes_is_rounded_to_the_nearest(value: int) -> None:
    for other in (0, value - 1, value):
        pixel = np.uint8([value, other, value])
        assert channel_mean(pixel) == round((2 * value + other) / 3)


def test_little_memory_is_taken_on_the_way_by_numpy() -> None:
    tiles = np.zeros((1, 256, 256, 3), np.uint8)
    output = np.random.default_rng(0).integers(0, 256, (1, 1024, 1024, 3), np.uint8)
    tracemalloc.start()
    try:
        keep_neutral.by_numpy(tiles, output)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not np.ptp(output, axis=3).any()
    assert taken < output.nbytes / 2
