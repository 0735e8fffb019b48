"""kernels/cpu/conv_block.h: 24 blocks in a row; stem, attention and head are little beside them."""

import pytest

from imagen_fast.spec import Level, ModelSpec


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels", [32, 64, 96, 128])
def bench_conv_block(time_backend, channels, precision):
    time_backend(ModelSpec(levels=(Level(channels, convs=12),)), 64, precision)
