"""kernels/cpu/window_attention.h: 32 blocks, half of them shifted, half of them across."""

import pytest

from imagen_fast.spec import Level, ModelSpec


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels", [32, 64, 96, 128])
def bench_window_attention(time_backend, channels, precision):
    time_backend(ModelSpec(levels=(Level(channels, depth=16, convs=0),)), 64, precision)
