import math

import pytest
import torch
from torch import nn

from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.training.config import OptimiserConfig
from imagen_fast.training.optimiser import Muon, build_optimisers, orthogonal


@pytest.mark.parametrize("shape", [(4, 16, 40), (3, 40, 16), (1, 1, 9)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape, dtype=torch.float64)
    u, before, vh = torch.linalg.svd(matrices, full_matrices=False)
    out = orthogonal(matrices)
    after = u.mT @ out @ vh.mT
    diagonal = after.diagonal(dim1=1, dim2=2)
    assert before.max() / before.min() > 1.5 or shape[1] == 1
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.3
    torch.testing.assert_close(after, torch.diag_embed(diagonal), atol=1e-9, rtol=0)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_muon_is_its_definition_one_matrix_at_a_time(decay):
    torch.manual_seed(0)
    convs = [nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 3).to(memory_format=torch.channels_last)]
    linear = nn.Linear(3, 12)
    weights = [m.weight for m in (*convs, linear)]
    expected = [w.detach().clone() for w in weights]
    momentum = [torch.zeros_like(w) for w in expected]
    muon = Muon(weights, lr=0.1, momentum=0.9, decay=decay)
    for _ in range(3):
        for w, truth, average in zip(weights, expected, momentum, strict=True):
            gradient = torch.randn(w.shape)
            w.grad = gradient.clone()
            average.copy_(0.9 * average + 0.1 * gradient)
            matrix = (0.9 * average + 0.1 * gradient).reshape(len(w), -1)
            scale = math.sqrt(max(1.0, matrix.shape[0] / matrix.shape[1]))
            truth *= 1 - 0.1 * decay
            truth -= 0.1 * scale * orthogonal(matrix[None])[0].reshape(w.shape)
        muon.step()
    for w, truth in zip(weights, expected, strict=True):
        torch.testing.assert_close(w.detach(), truth, atol=1e-5, rtol=1e-4)


def test_a_state_of_before_weights_decayed_is_taken():
    weights = [nn.Linear(3, 3).weight]
    state = Muon(weights, lr=0.1).state_dict()
    del state["param_groups"][0]["decay"]
    muon = Muon(weights, lr=0.2, decay=0.5)
    muon.load_state_dict(state)
    assert muon.param_groups[0]["decay"] == 0.5


def test_muon_leaves_parameters_without_a_gradient_alone():
    used, unused = nn.Linear(3, 3).weight, nn.Linear(3, 3).weight
    before = unused.detach().clone()
    muon = Muon([used, unused], lr=0.1)
    used.grad = torch.ones_like(used)
    muon.step()
    assert torch.equal(unused, before)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_every_parameter_has_one_optimiser(name):
    spec = ModelSpec(levels=(Level(32), Level(32)), latent_channels=4)
    model = Generator(spec)
    optimisers = build_optimisers(model, OptimiserConfig(name))
    held = [
        id(p)
        for optimiser in optimisers.values()
        for group in optimiser.param_groups
        for p in group["params"]
    ]
    assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_muon_takes_hidden_matrices_alone():
    model = Generator(ModelSpec(levels=(Level(32), Level(32)), latent_channels=4))
    names = {id(p): name for name, p in model.named_parameters()}
    groups = build_optimisers(model, OptimiserConfig("muon"))["muon"].param_groups
    taken = {names[id(p)] for p in groups[0]["params"]}
    assert "encoder.stages.0.0.convs.0.conv.weight" in taken
    assert "decoder.stages.1.0.attention.kv.weight" in taken
    for name in ("encoder.stem.weight", "heads.0.conv.weight", "latent.weight"):
        assert name in names.values()
        assert name not in taken
    assert not [n for n in taken if n.endswith(("bias", "position", "temperature"))]
