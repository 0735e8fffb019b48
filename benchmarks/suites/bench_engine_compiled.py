"""The backend `compiled` on the presets."""

import pytest

from imagen_fast.spec import preset


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["tiny"])
def bench_engine_compiled(time_backend, name, precision):
    time_backend(preset(name), 128, precision, "compiled")
