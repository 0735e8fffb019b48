"""FLOPs are what PyTorch counts."""

import pytest

from imagen_fast.graph import network
from imagen_fast.graph.cost import flops
from imagen_fast.spec import Level, ModelSpec, preset

SPECS = [
    *(preset(name, scale) for name in ("tiny", "small", "base") for scale in (1, 3)),
    ModelSpec(levels=(Level(32, attention="global"), Level(64, depth=2, convs=0))),
    ModelSpec(levels=(Level(48, depth=3, convs=1),), head_dim=16, window=4, image_channels=1),
]


# Whole windows; and no multiple of the window.
@pytest.mark.parametrize(("h", "w"), [(32, 48), (20, 44)])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.to_json())
def test_flops_are_those_that_pytorch_counts(spec, h, w):
    torch = pytest.importorskip("torch", reason="PyTorch counts them")
    from torch.utils.flop_counter import FlopCounterMode

    from imagen_fast.models.generator import Generator

    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.inference_mode():
        Generator(spec)(torch.empty(1, spec.image_channels, h, w))
    assert flops(network(spec), h, w) == counter.get_total_flops()


def test_flops_of_a_listing():
    torch = pytest.importorskip("torch", reason="PyTorch counts them")
    from torch.utils.flop_counter import FlopCounterMode

    from imagen_fast.models.listing import ListingGenerator

    spec = preset("listing", scale=1)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        ListingGenerator(spec)(torch.zeros(1, 35, spec.levels[0].channels))
    assert flops(network(spec), 5, 7) == counter.get_total_flops()
