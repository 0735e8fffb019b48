"""A network may begin with what a shallower or narrower one has learned."""

import dataclasses

import pytest
import torch

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.training.result import warm_start


def _saved(model, path):
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    save_bundle(Bundle(model.spec, tensors), path)
    return str(path)


def test_a_deeper_network_begins_where_the_shallower_one_ended(tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec(levels=(Level(32, convs=1), Level(64, convs=2)), scale=2)
    shallow = Generator(spec).eval()
    levels = (Level(32, convs=3), Level(64, convs=3))
    deep = Generator(dataclasses.replace(spec, levels=levels)).eval()
    said = warm_start(deep, _saved(shallow, tmp_path / "shallow.safetensors"))
    assert "new: decoder.stages.0.0.convs.1.conv.bias" in said
    image = torch.rand(1, 3, 11, 9)
    with torch.no_grad():
        torch.testing.assert_close(deep(image), shallow(image), rtol=0, atol=0)
    deep(image).square().mean().backward()  # and the new blocks learn
    blocks = [p for name, p in deep.named_parameters() if ".convs." in name]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in blocks)


@pytest.mark.parametrize("levels", [(Level(64, convs=1),), (Level(48), Level(80, convs=2))])
def test_a_wider_network_begins_where_the_narrower_one_ended(tmp_path, levels):
    torch.manual_seed(0)
    spec = ModelSpec(levels=levels, scale=2, head_dim=16)
    narrower = (Level(32, convs=1), Level(64, convs=2))[: len(levels)]
    narrow = Generator(dataclasses.replace(spec, levels=narrower)).eval()
    wide = Generator(spec).eval()
    warm_start(wide, _saved(narrow, tmp_path / "narrow.safetensors"))
    image = torch.rand(1, 3, 21, 18)
    with torch.no_grad():
        expected = narrow.progressive(image)
        for picture, other in zip(wide.progressive(image), expected, strict=True):
            torch.testing.assert_close(picture, other, rtol=0, atol=1e-5)
    wide(image).square().mean().backward()  # and what is new learns
    learning = wide.heads[0].conv.weight.grad[:, narrower[0].channels :]
    assert learning.abs().max() > 0


def test_a_head_of_another_scale_is_not_taken(tmp_path):
    spec = ModelSpec(levels=(Level(32, convs=1),), scale=2)
    larger = Generator(dataclasses.replace(spec, scale=4, levels=(Level(64, convs=1),)))
    own = larger.heads[0].conv.weight.clone()
    said = warm_start(larger, _saved(Generator(spec), tmp_path / "x2.safetensors"))
    assert "new: heads.0.conv.bias, heads.0.conv.weight" in said
    torch.testing.assert_close(larger.heads[0].conv.weight, own, rtol=0, atol=0)
