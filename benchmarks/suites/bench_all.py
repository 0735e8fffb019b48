"""Backends on the presets, those that have not run on a GPU yet among them; and kernels/cpu, one
file at a time: networks in which the others have little to do.
"""

import pytest

from imagen_fast.spec import Level, ModelSpec, preset

BACKENDS = [
    *(("native", name, 128) for name in ("tiny", "small", "base")),
    *(("eager", "tiny", 128), ("compiled", "tiny", 128)),
    *(("triton", "tiny", side) for side in (256, 512)),
]

WIDTHS = (32, 64, 96, 128)


def one_level(side, channels, **level):
    return ModelSpec(levels=(Level(channels, **level),)), side


# Blocks in a row: 24; 32, half of them shifted and half across; 8, half of them across.
NETWORKS = {f"convolution-{c}": one_level(64, c, convs=12) for c in WIDTHS}
NETWORKS |= {f"window_attention-{c}": one_level(64, c, depth=16, convs=0) for c in WIDTHS}
NETWORKS |= {
    f"global_attention-{c}": one_level(32, c, depth=4, convs=0, attention="global")
    for c in (64, 128)
}
# The most of a network that is thin and enlarges much; with the stem.
NETWORKS |= {
    f"head-x{scale}": (ModelSpec(scale=scale, levels=(Level(32, convs=0),)), 128)
    for scale in (1, 2, 4)
}
# Six levels deep, where going down and up is what there is to do.
NETWORKS["pointwise"] = (ModelSpec(levels=tuple(Level(64, convs=0) for _ in range(6))), 128)


both = pytest.mark.parametrize("precision", ["fp32", "bf16"])


@both
@pytest.mark.parametrize(("backend", "name", "side"), BACKENDS)
def bench_engine(time_backend, backend, name, side, precision):
    time_backend(preset(name), side, precision, backend)


@both
@pytest.mark.parametrize("name", NETWORKS)
def bench_kernel(time_backend, name, precision):
    time_backend(*NETWORKS[name], precision)
