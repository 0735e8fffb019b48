"""kernels/cpu/pointwise.h: six levels deep, where going down and up is what there is to do."""

import pytest

from imagen_fast.spec import Level, ModelSpec


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def bench_pointwise(time_backend, precision):
    time_backend(ModelSpec(levels=tuple(Level(64, convs=0) for _ in range(6))), 128, precision)
