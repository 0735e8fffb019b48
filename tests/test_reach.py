"""`graph.reach` against what really changes an output: gradients in float64."""

import numpy as np
import pytest
import torch

from imagen_fast.graph import network
from imagen_fast.graph.reach import alignment, exact_overlap, radius, reads
from imagen_fast.models.generator import Generator
from imagen_fast.models.style import Stylizer
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
    graph, scale = network(spec), spec.scale
    widest, period = radius(graph), alignment(graph)
    assert widest is not None
    middle = -(-widest // period) * period
    length = 2 * middle + 2 * period
    torch.manual_seed(0)
    module = Generator(spec).double()
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:  # strong blocks, and a softmax that does not underflow
                weight.normal_(std=weight[0].numel() ** -0.5)
    shape = (1, 3, length, 3) if vertical else (1, 3, 3, length)
    image = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    lines = module(image).movedim(2 if vertical else 3, 0)
    reaches = []
    for position in range(middle, middle + period):
        output = lines[scale * position : scale * (position + 1)].sum()
        (gradient,) = torch.autograd.grad(output, image, retain_graph=True)
        along = gradient.movedim(2 if vertical else 3, 0).flatten(1).abs().sum(1)
        read = np.flatnonzero(along.numpy())
        assert (read[0], read[-1]) == reads(graph, position)
        reaches += [position - read[0], read[-1] - position]
    assert max(reaches) == widest


@pytest.mark.parametrize(
    "spec",
    [ModelSpec(levels=(Level(32), Level(32, attention="global"))), PRESETS["listing"]],
    ids=["family", "listing"],
)
def test_global_attention_reads_everything(spec: ModelSpec) -> None:
    graph = network(spec)
    assert reads(graph, 0) is None
    assert radius(graph) is None
    assert exact_overlap(graph) is None


def test_of_two_pictures_only_the_first_is_cut_into_tiles() -> None:
    """The style is the same for all tiles, although every pixel attends to all of it."""
    levels = (Level(4, convs=1), Level(6, convs=1), Level(8, attention="global"))
    spec = ModelSpec("style", 1, levels, head_dim=4)
    graph, module = network(spec), Stylizer(spec).double()
    widest, period = radius(graph), alignment(graph)
    assert widest is not None
    assert period == 8
    middle = -(-widest // period) * period
    image = torch.rand(1, 3, 3, 2 * middle + period, dtype=torch.float64, requires_grad=True)
    lines = module(image, torch.rand(1, 3, 16, 16, dtype=torch.float64))
    reaches = []
    for position in range(middle, middle + period):
        (gradient,) = torch.autograd.grad(lines[..., position].sum(), image, retain_graph=True)
        read = np.flatnonzero(gradient.abs().sum((0, 1, 2)).numpy())
        assert (read[0], read[-1]) == reads(graph, position)
        reaches += [position - read[0], read[-1] - position]
    assert max(reaches) == widest


def test_tiles_start_where_all_windows_do() -> None:
    assert alignment(network(ModelSpec(levels=(Level(32),)))) == 8
    assert alignment(network(ModelSpec(levels=(Level(32),) * 3, window=4))) == 16
    assert alignment(network(ModelSpec("plain"))) == 1
