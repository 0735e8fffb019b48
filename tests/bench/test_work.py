"""Traffic is what can be counted by hand."""

from imagen_fast.bench.work import traffic
from imagen_fast.spec import Level, ModelSpec


def test_traffic_by_hand():
    spec = ModelSpec(scale=2, levels=(Level(32, depth=1, convs=1),))
    plane = 6 * 10 * 32 * 2  # bytes of a feature map in bf16
    # Written by the stem and read by the head with the skip beside it; twice a convolution that
    # reads and writes, and an attention that reads a context as well.
    features = 3 * plane + 2 * (2 + 3) * plane
    pictures = 6 * 10 * 3 * 4 * (1 + 4)
    assert traffic(spec, 6, 10, 2) == features + pictures
