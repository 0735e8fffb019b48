"""The graphs of the architectures against the modules of `models/`, in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from imagen_fast.graph import Graph, network
from imagen_fast.models.blocks import Windows
from imagen_fast.models.generator import Generator
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.models.operations import run_graph
from imagen_fast.models.plain import Plain
from imagen_fast.models.style import Stylizer
from imagen_fast.models.temporal import Temporal
from imagen_fast.spec import Level, ModelSpec, preset

SPECS = {
    "tiny": preset("tiny"),
    "three levels of two stages, global attention below": ModelSpec(
        scale=2,
        levels=(
            Level(32, depth=2, convs=1),
            Level(64, depth=2, convs=0),
            Level(32, 1, 2, "global"),
        ),
        latent_channels=5,
    ),
}


TEMPORAL = ModelSpec("temporal", 2, (Level(32, depth=2, convs=1), Level(64, convs=1)))
STYLE = ModelSpec(
    "style",
    1,
    (Level(4, depth=2, convs=1), Level(6, depth=2, convs=1), Level(10, attention="global")),
    head_dim=5,
)


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Random ones: as they start, some paths hardly show."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype) / p[0].numel() ** 0.5)
    return dict(module.state_dict())


@pytest.fixture(params=SPECS.values(), ids=SPECS)
def generator(request: pytest.FixtureRequest) -> Generator:
    return Generator(request.param).double().eval()


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-9, atol=1e-11)


@torch.no_grad()
def test_the_family_s_graph_gives_its_pictures_and_features(generator: Generator) -> None:
    weights = weights_of(generator)
    image = torch.rand(2, 3, 13, 22, dtype=torch.float64)  # odd, and no whole windows
    out = run_graph(network(generator.spec), weights, {"image": image})
    pictures = generator.progressive(image)
    assert near(out["picture"], generator(image))
    for number, picture in enumerate(pictures):
        assert near(out[f"picture.{number}" if number else "picture"], picture)
    for number, features in enumerate(generator.features(image)):
        assert near(out[f"features.{number}"], features)


@torch.no_grad()
def test_a_context_takes_the_place_of_the_encoder_s_features(generator: Generator) -> None:
    weights = weights_of(generator)
    image, other = torch.rand(2, 1, 3, 17, 9, dtype=torch.float64)
    context = generator.features(other)
    inputs = {"image": image, **{f"context.{i}": x for i, x in enumerate(context)}}
    out = run_graph(network(generator.spec), weights, inputs)
    assert near(out["picture"], generator(image, context))
    assert not near(out["picture"], generator(image))


@torch.no_grad()
def test_latents_give_the_generator_s_pictures() -> None:
    spec = list(SPECS.values())[1]
    module = Generator(spec).double().eval()
    weights = weights_of(module)
    latent = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    steering = [torch.randn_like(x) for x in module.features(torch.rand(2, 3, 12, 16).double())]
    inputs = {"latent": latent, **{f"latent.{i}": x for i, x in enumerate(steering)}}
    out = run_graph(network(spec), weights, inputs, ["sample", "sample.1", "sample.2"])
    expected = module.generate(latent, steering)
    for picture, level in zip(out.values(), expected, strict=True):
        assert near(picture, level)


@torch.no_grad()
def test_attention_maps_are_the_weights_that_attention_used() -> None:
    spec = ModelSpec(levels=(Level(64, convs=0),))
    module = Generator(spec).double().eval()
    weights = weights_of(module)
    image = torch.rand(1, 3, 10, 19, dtype=torch.float64)
    out = run_graph(network(spec), weights, {"image": image}, ["attention.0", "features.0"])
    block = module.encoder.stages[0][0].attention
    windows = Windows(block.window, block.shift)
    stem = module.encoder.stem(image)
    maps = out["attention.0"].permute(0, 2, 3, 1)  # (1, H, W, heads · 64)
    maps = windows.partition(maps).unflatten(-1, (2, 64)).transpose(1, 2)  # (B, heads, 64, 64)
    tokens = windows.partition(stem.permute(0, 2, 3, 1)) + block.position
    values = block.kv(tokens)[..., 64:].unflatten(-1, (2, 32)).transpose(1, 2)
    mixed = block.proj((maps @ values).transpose(1, 2).flatten(2))
    assert near(stem + windows.merge(mixed, 1, 10, 19).permute(0, 3, 1, 2), out["features.0"])
    assert torch.allclose(maps.sum(-1)[0], torch.ones(2, 64, dtype=torch.float64))


@torch.no_grad()
@pytest.mark.parametrize("every", [0, 1, 2])
def test_the_plain_network_s_graph_gives_its_picture(every: int) -> None:
    spec = ModelSpec("plain", 3, (Level(32, depth=4, convs=2),), attention_every=every)
    module = Plain(spec).double().eval()
    image = torch.rand(1, 3, 11, 18, dtype=torch.float64)
    out = run_graph(network(spec), weights_of(module), {"image": image}, ["picture"])
    assert near(out["picture"], module(image))


@torch.no_grad()
def test_the_graph_of_style_gives_its_pictures_and_tokens() -> None:
    module = Stylizer(STYLE).double().eval()
    weights = weights_of(module)
    image = torch.rand(2, 3, 13, 22, dtype=torch.float64)
    style = torch.rand(2, 3, 30, 17, dtype=torch.float64)
    tokens = run_graph(network(STYLE), weights, {"style": style})["tokens"]
    assert near(tokens, module.read(style))
    expected = module(image, style)
    given = {"image": image, "tokens": tokens, "style": style}
    out = run_graph(network(STYLE), weights, given, ["picture", "stylized"])
    assert near(out["picture"], expected)
    assert near(out["stylized"], expected)
    other = run_graph(network(STYLE), weights, {**given, "tokens": -tokens}, ["picture"])
    assert not near(other["picture"], expected)


@torch.no_grad()
def test_the_temporal_graph_gives_each_frame_with_the_one_before_in_mind() -> None:
    module = Temporal(TEMPORAL).double().eval()
    weights = weights_of(module)
    frames = torch.rand(2, 3, 3, 13, 22, dtype=torch.float64)
    given: dict[str, torch.Tensor] = {}
    found = []
    for image in frames.unbind(1):
        out = run_graph(network(TEMPORAL), weights, {"image": image, **given})
        given = {"previous": out["previous"]}
        found.append(out["picture"])
    for picture, expected in zip(found, module.clip(frames), strict=True):
        assert near(picture, expected)
    assert not near(found[2], module(frames[:, 2]))
    assert near(found[0], module(frames[:, 0]))
    (coarse,) = run_graph(
        network(TEMPORAL), weights, {"image": frames[:, 0]}, ["picture.1"]
    ).values()
    assert near(coarse, module.progressive(frames[:, 0])[1])


@torch.no_grad()
def test_untrained_it_is_the_family_frame_by_frame() -> None:
    module = Temporal(TEMPORAL)
    family = Generator(replace(TEMPORAL, architecture="hierarchical"))
    module.load_state_dict(family.state_dict(), strict=False)
    frames = torch.rand(1, 2, 3, 9, 11)
    assert torch.equal(module.clip(frames)[1], family(frames[:, 1]))


@torch.no_grad()
def test_the_listing_s_graph_gives_its_rows() -> None:
    spec = preset("listing", 1)
    module = ListingGenerator(spec).double().eval()
    rows = torch.randn(2, 7, 64, dtype=torch.float64)
    out = run_graph(network(spec), weights_of(module), {"rows": rows.transpose(1, 2).unsqueeze(2)})
    assert near(out["rows"].squeeze(2).transpose(1, 2), module(rows))


@pytest.mark.parametrize(
    "spec",
    [*SPECS.values(), TEMPORAL, preset("listing", 1), ModelSpec("plain", attention_every=1), STYLE],
    ids=lambda spec: spec.architecture,
)
def test_a_graph_has_exactly_the_module_s_tensors_and_survives_json(spec: ModelSpec) -> None:
    modules = {"hierarchical": Generator, "plain": Plain, "listing": ListingGenerator}
    modules |= {"style": Stylizer, "temporal": Temporal}
    module = modules[spec.architecture](spec)
    graph = network(spec)
    assert graph.tensors == {name: tuple(p.shape) for name, p in module.state_dict().items()}
    assert Graph.from_json(graph.to_json()) == graph
    assert graph.scale == spec.scale
    assert network(replace(spec)) == graph
