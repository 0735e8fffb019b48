"""A network may begin with what a shallower one has learned."""

import dataclasses

import torch

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.training.result import warm_start


def test_a_deeper_network_begins_where_the_shallower_one_ended(tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec(levels=(Level(32, convs=1), Level(64, convs=2)), scale=2)
    shallow = Generator(spec).eval()
    tensors = {name: tensor.numpy() for name, tensor in shallow.state_dict().items()}
    save_bundle(Bundle(spec, tensors), tmp_path / "shallow.safetensors")
    levels = (Level(32, convs=3), Level(64, convs=3))
    deep = Generator(dataclasses.replace(spec, levels=levels)).eval()
    said = warm_start(deep, str(tmp_path / "shallow.safetensors"))
    assert "new: decoder.stages.0.0.convs.1.conv.bias" in said
    image = torch.rand(1, 3, 11, 9)
    with torch.no_grad():
        torch.testing.assert_close(deep(image), shallow(image), rtol=0, atol=0)
    deep(image).square().mean().backward()  # and the new blocks learn
    blocks = [p for name, p in deep.named_parameters() if ".convs." in name]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in blocks)
