"""The backend `triton` on the presets, on a GPU. Not yet run on one."""

import pytest

from imagen_fast.spec import preset


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("side", [256, 512])
def bench_engine_triton(cuda, time_backend, side, precision):
    time_backend(preset("tiny"), side, precision, "triton")
