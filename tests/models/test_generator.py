import pytest
import torch

from imagen_fast.errors import SpecError
from imagen_fast.models.generator import Generator, halve
from imagen_fast.spec import PRESETS, Level, ModelSpec, preset

SMALL = (Level(8, convs=1), Level(16, depth=2, convs=1))


def generator(**changes):
    torch.manual_seed(0)
    spec = ModelSpec(**{"levels": SMALL, "head_dim": 8, "window": 4, **changes})
    model = Generator(spec).eval().requires_grad_(False)
    for parameter in model.parameters():  # the small starting weights would hide mistakes
        parameter.copy_(torch.randn_like(parameter) / max(1, parameter[0].numel()) ** 0.5)
    return model


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (7, 13), (1, 9)])
def test_output_is_scale_times_the_input(scale, size):
    out = generator(scale=scale)(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, scale * size[0], scale * size[1])
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("size", [(16, 12), (7, 13), (1, 1)])
def test_every_level_has_its_picture_and_the_finest_is_the_output(size):
    model = generator(scale=3, levels=(*SMALL, Level(8)))
    image = torch.rand(1, 3, *size)
    pictures = model.progressive(image)
    h, w = size
    for picture in pictures:
        assert picture.shape == (1, 3, 3 * h, 3 * w)
        h, w = -(-h // 2), -(-w // 2)
    assert len(pictures) == 3
    torch.testing.assert_close(pictures[0], model(image))


def test_pictures_of_a_batch_do_not_touch_each_other():
    model = generator()
    images = torch.rand(3, 3, 10, 9)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, atol=1e-5, rtol=1e-4)


def test_a_new_model_starts_at_the_repeated_pixels():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 16, 16)
    out = Generator(preset("tiny", 2))(image)
    repeated = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert (out - repeated).abs().mean() < 0.1


def test_a_context_takes_the_place_of_the_encoders_features():
    model = generator()
    image, other = torch.rand(2, 1, 3, 8, 8)
    own = model.features(image)
    torch.testing.assert_close(model(image, own), model(image))
    styled = model(image, model.features(other))
    assert (styled - model(image)).abs().max() > 1e-3
    torch.testing.assert_close(styled, model.progressive(image, model.features(other))[0])


def test_features_are_a_pyramid():
    shapes = [tuple(f.shape) for f in generator().features(torch.rand(1, 3, 9, 6))]
    assert shapes == [(1, 8, 9, 6), (1, 16, 5, 3)]


def test_latents_become_pictures_and_each_counts():
    model = generator(scale=2, latent_channels=5)
    latents = [torch.randn(1, 5, 3, 4), torch.randn(1, 8, 6, 8), torch.randn(1, 16, 3, 4)]
    pictures = model.generate(latents[0], latents[1:])
    assert [tuple(p.shape) for p in pictures] == [(1, 3, 12, 16), (1, 3, 6, 8)]
    for number, latent in enumerate(latents):
        start, *steering = [*latents[:number], torch.randn_like(latent), *latents[number + 1 :]]
        assert (model.generate(start, steering)[0] - pictures[0]).abs().mean() > 1e-3


def test_without_a_latent_entry_generation_is_refused():
    with pytest.raises(SpecError, match="latent_channels > 0"):
        generator().generate(torch.randn(1, 5, 3, 4), [])


def test_a_listing_spec_is_refused():
    with pytest.raises(SpecError, match="hierarchical"):
        Generator(PRESETS["listing"])


def test_every_parameter_takes_part_in_the_pictures():
    model = generator().requires_grad_(True)
    sum(p.square().mean() for p in model.progressive(torch.rand(1, 3, 8, 8))).backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


@pytest.mark.parametrize(("name", "low", "high"), [("tiny", 0.05, 0.2), ("small", 1.0, 5.0)])
def test_presets_keep_their_size(name, low, high):
    with torch.device("meta"):
        model = Generator(preset(name))
    assert low * 1e6 < sum(p.numel() for p in model.parameters()) <= high * 1e6


def test_halving_averages_and_repeats_an_odd_last_row():
    image = torch.tensor([[1.0, 3.0, 5.0], [1.0, 3.0, 5.0], [2.0, 2.0, 8.0]])[None, None]
    torch.testing.assert_close(halve(image)[0, 0], torch.tensor([[2.0, 5.0], [2.0, 8.0]]))
