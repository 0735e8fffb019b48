"""kernels/cpu/head.h with stem.h: the most of a network that is thin and enlarges much."""

import pytest

from imagen_fast.spec import Level, ModelSpec


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def bench_head(time_backend, scale, precision):
    time_backend(ModelSpec(scale=scale, levels=(Level(32, convs=0),)), 128, precision)
