"""Backends on the presets, those that have not run on a GPU yet among them."""

import pytest

from imagen_fast.spec import preset

CASES = [
    *(("native", name, 128) for name in ("tiny", "small", "base")),
    *(("eager", "tiny", 128), ("compiled", "tiny", 128)),
    *(("triton", "tiny", side) for side in (256, 512)),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("backend", "name", "side"), CASES)
def bench_engine(time_backend, backend, name, side, precision):
    time_backend(preset(name), side, precision, backend)
