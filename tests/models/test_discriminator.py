import pytest
import torch
from torch import nn

from imagen_fast.models.discriminator import Discriminator


def discriminator(normalised=False):
    torch.manual_seed(0)
    return Discriminator(8, depth=2, head_dim=8, normalised=normalised)


@pytest.mark.parametrize(
    ("size", "grid"), [((16, 16), (4, 4)), ((13, 6), (4, 2)), ((1, 1), (1, 1))]
)
def test_one_logit_a_patch(size, grid):
    images = torch.rand(3, 3, *size)
    model = discriminator()
    assert model(images).shape == (3, 1, *grid)


def test_spectral_norm_bounds_every_weight():
    model = discriminator(normalised=True)
    for _ in range(30):  # each training pass takes one power iteration
        model(torch.rand(1, 3, 8, 8))
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            largest = torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
            assert largest == pytest.approx(1, abs=0.05)


def test_plain_weights_give_the_same_logits_without_the_norm():
    model = discriminator(normalised=True).eval()
    image = torch.rand(1, 3, 16, 16)
    before = model(image)
    assert set(model.plain().state_dict()) == set(discriminator().state_dict())
    torch.testing.assert_close(model(image), before)


def test_a_far_patch_is_seen():
    model = discriminator()
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    model(image)[0, 0, 0, 0].backward()
    assert image.grad[0, :, -8:, -8:].abs().max() > 0
