"""kernels/cpu/global_attention.h: 8 blocks, half of them across, over all pixels."""

import pytest

from imagen_fast.spec import Level, ModelSpec


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels", [64, 128])
def bench_global_attention(time_backend, channels, precision):
    level = Level(channels, depth=4, convs=0, attention="global")
    time_backend(ModelSpec(levels=(level,)), 32, precision)
