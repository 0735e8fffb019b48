"""What changes results in place is the same by NumPy and by the native engine, bit by bit."""

import numpy as np
import pytest
from hardly_changing import pictures
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagen_fast.image import natively
from imagen_fast.image.color_bounds import bound_colors
from imagen_fast.image.flat import keep_flat
from imagen_fast.image.neutral import keep_neutral


@pytest.mark.skipif(natively._native is None, reason="the native engine was not built")
@pytest.mark.parametrize("change", [bound_colors, keep_neutral, keep_flat])
@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 70),
    st.integers(1, 4),
    st.sampled_from([0, 1, 3, 15, 16, 40]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([np.uint8, np.float32]),
    st.integers(0, 99),
)
@example(70, 300, 4, 3, 0.0, np.uint8, 0)  # more rows than NumPy takes at a time
@example(70, 300, 4, 3, 1.0, np.float32, 0)
@example(400, 700, 1, 0, 0.9, np.uint8, 0)  # several threads, whatever the scale
@example(400, 700, 1, 0, 0.99, np.float32, 1)
def test_native_and_numpy_give_the_same_bits(
    change, height, width, scale, spread, grey, dtype, seed
):
    scale = 1 if change is keep_flat else scale
    tiles, output = pictures(height, width, scale, spread, dtype, seed)
    columns = round(grey * width)  # without colour
    tiles[:, :, :columns] = tiles[:, :, :columns, :1]
    expected = output.copy()
    change.by_numpy(tiles, expected)
    change(tiles, output, threads=3)
    np.testing.assert_array_equal(output, expected)


@pytest.mark.skipif(natively._native is None, reason="the native engine was not built")
@pytest.mark.parametrize("change", [bound_colors, keep_neutral, keep_flat])
@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (1, 0, 5, 3), (1, 4, 0, 3)])
def test_of_nothing_nothing_is_changed(change, shape):
    change(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), threads=3)
