"""kernels/cpu/linear.h: a listing's layers on few rows, so that its attention is little."""

import numpy as np
import pytest

from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.graph import network
from imagen_fast.graph.cost import flops
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.spec import Level, ModelSpec

ROWS = 64


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("channels", [256, 1024])
def bench_linear(keep, channels, precision):
    level = Level(channels, depth=2, convs=0, attention="global")
    spec = ModelSpec("listing", scale=1, levels=(level,), head_dim=channels)
    tensors = {name: x.numpy() for name, x in ListingGenerator(spec).state_dict().items()}
    backend = Native(Bundle(spec, tensors), precision=precision)
    x = np.random.default_rng(0).standard_normal((1, 1, ROWS, channels), np.float32)
    keep(lambda: backend.run(x), flops(network(spec), 1, ROWS) / 1e9)
