"""`ModelSpec.reads` against what really changes an output: gradients in float64."""

import numpy as np
import pytest
import torch

from imagen_fast.models.generator import Generator
from imagen_fast.spec import PRESETS, Level, ModelSpec

SPECS = {
    "two levels, as tiny": ModelSpec(scale=1, levels=(Level(2), Level(2)), head_dim=2),
    "deeper, scale 2": ModelSpec(
        scale=2, levels=(Level(2, depth=2, convs=1), Level(2, convs=0)), head_dim=2, window=4
    ),
    "three levels": ModelSpec(
        scale=1, levels=(Level(2, convs=1), Level(2, depth=3), Level(2)), head_dim=2, window=4
    ),
    "one level": ModelSpec(scale=1, levels=(Level(2, depth=2),), head_dim=2),
}


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_reads_is_what_the_network_reads(name: str, vertical: bool) -> None:
    spec = SPECS[name]
    radius, period, scale = spec.receptive_radius, spec.alignment, spec.scale
    assert radius is not None
    middle = -(-radius // period) * period
    length = 2 * middle + 2 * period
    torch.manual_seed(0)
    network = Generator(spec).double()
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:  # strong blocks, and a softmax that does not underflow
                weight.normal_(std=weight[0].numel() ** -0.5)
    shape = (1, 3, length, 3) if vertical else (1, 3, 3, length)
    image = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    lines = network(image).movedim(2 if vertical else 3, 0)
    reaches = []
    for position in range(middle, middle + period):
        output = lines[scale * position : scale * (position + 1)].sum()
        (gradient,) = torch.autograd.grad(output, image, retain_graph=True)
        along = gradient.movedim(2 if vertical else 3, 0).flatten(1).abs().sum(1)
        read = np.flatnonzero(along.numpy())
        assert (read[0], read[-1]) == spec.reads(position)
        reaches += [position - read[0], read[-1] - position]
    assert max(reaches) == radius


def test_global_attention_has_no_radius() -> None:
    spec = ModelSpec(levels=(Level(32), Level(32, attention="global")))
    assert spec.receptive_radius is None
    assert PRESETS["listing"].receptive_radius is None
