import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from imagen_fast.bundle import load_bundle
from imagen_fast.errors import TrainingError
from imagen_fast.models.generator import Generator
from imagen_fast.training import generation
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.generation import Generation, sheet
from imagen_fast.training.processes import Processes
from imagen_fast.training.trainer import train


@pytest.fixture
def generating(tables, photographs):
    tables["model"] |= {"latent": 5, "window": 4, "scale": 2, "name": "made"}
    tables["data"] |= {"patch": 32, "validation": str(photographs)}
    tables["adversarial"] = {"depth": 1, "weight": 1.0, "loss": "relativistic", "features": 1.0}
    tables["generation"] = {"shared": 2, "margin": 1}
    return tables


def method(tables):
    config = parse_config(tables)
    torch.manual_seed(0)
    generator = Generator(config.model.spec)
    return generator, Generation(
        generator, config, config.adversarial, config.generation, Processes("cpu", 1)
    )


def test_the_first_channels_of_a_latent_are_the_same_all_over_a_picture(generating):
    _, step = method(generating)
    latents = step._drawn(3)
    # 8 places of 4 pixels, and one more on each side
    shapes = [(3, 5, 10, 10), (3, 32, 20, 20), (3, 32, 10, 10)]
    assert [tuple(x.shape) for x in latents] == shapes
    shared = latents[0][:, :2, :1, :1]
    for x in latents:
        assert (x[:, :2] == shared).all()
        assert (x[:, 2:] != x[:, 2:, :1, :1]).any()
    assert (shared[0] != shared[1]).all()


def test_margins_are_cut_from_every_level(generating):
    generator, step = method(generating)
    latent, *latents = step._drawn(2)
    whole, cut = generator.generate(latent, latents), step._generate(generator, latent, latents)
    assert [tuple(x.shape) for x in cut] == [(2, 3, 32, 32), (2, 3, 16, 16)]
    torch.testing.assert_close(cut[0], whole[0][:, :, 4:36, 4:36])
    torch.testing.assert_close(cut[1], whole[1][:, :, 2:18, 2:18])


def test_a_step_moves_the_decoder_and_leaves_the_encoder(generating):
    generator, step = method(generating)
    before = {name: p.detach().clone() for name, p in generator.named_parameters()}
    real = torch.rand(4, 3, 32, 32)
    losses = step.step(0, real, real)
    assert set(losses) == set(step.columns) - {"frequency", "look"}
    for name, p in generator.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("encoder"), name


def test_the_spectrum_counts_if_it_has_a_weight(generating):
    generating["loss"] = {"frequency": 3.0, "coarse": 0.0}
    _, step = method(generating)
    real = torch.rand(4, 3, 32, 32)
    losses = step.step(0, real, real)
    expected = losses["adversarial"] + losses["features"] + 3 * losses["frequency"]
    torch.testing.assert_close(losses["loss"], expected)
    assert losses["frequency"] > 0


def looking(tables, monkeypatch):
    """The same without a discriminator, and few patches to know."""
    del tables["adversarial"]
    tables["generation"] |= {"look": 2.0}
    tables["loss"] = {"coarse": 0.0}
    monkeypatch.setattr(generation, "KNOWN", 12)
    monkeypatch.setattr(generation, "CALIBRATED", 4)
    return tables


class Patches:
    """Stands in for a sampler."""

    def next(self):
        high = torch.rand(4, 3, 32, 32) * torch.rand(4, 3, 1, 1)
        return high, high


def test_pictures_learn_to_look_like_the_patches_of_their_codes(generating, monkeypatch):
    generator, step = method(looking(generating, monkeypatch))
    step.begin(Patches())
    codes = step._looks.codes
    assert codes.shape == (12, 2)
    asked, generate = [], generator.generate
    monkeypatch.setattr(generator, "generate", lambda *x: asked.append(x) or generate(*x))
    real = torch.rand(4, 3, 32, 32)
    losses = step.step(0, real, real)
    assert set(losses) == {"loss", "coarse", "look"}
    torch.testing.assert_close(losses["loss"], 2 * losses["look"])
    latent, latents = asked[0]
    for x in (latent, *latents):
        distances = (codes[:, None] - x[:, :2, 0, 0]).abs().sum(2)  # (codes, pictures)
        assert (distances.min(0).values == 0).all()
    moved = (step._codes.weight != codes).any(1)
    assert (moved == (distances == 0).any(1)).all()
    assert 0 < moved.sum() <= 2


def test_codes_learn_to_ask_for_their_patches(generating, monkeypatch):
    """Of a generator that does not learn itself."""
    torch.manual_seed(0)
    generating["optimiser"] |= {"lr": 0.0, "muon_lr": 0.0}
    _, step = method(looking(generating, monkeypatch))
    step.begin(Patches())
    real = torch.rand(4, 3, 32, 32)
    looks = [float(step.step(number, real, real)["look"]) for number in range(240)]
    assert sum(looks[-60:]) < sum(looks[:60])


def test_codes_of_a_finished_model_are_as_far_apart_as_its_pictures_have_to_be(
    generating, monkeypatch
):
    generator, step = method(looking(generating, monkeypatch))
    step.begin(Patches())
    assert step._unlike(generator, 1.0) == step._unlike(generator, 1.0) > 0
    monkeypatch.setattr(step, "_unlike", lambda model, gain: abs(gain - 1.2))
    own = step._codes.weight.detach().numpy()
    np.testing.assert_allclose(step.codes(None), own, atol=0.006)
    np.testing.assert_allclose(step.codes(generator), 1.2 * own, atol=0.006)


def test_an_extended_run_begins_with_the_codes_of_its_file(generating, monkeypatch, tmp_path):
    looking(generating, monkeypatch)["run"] |= {"steps": 4}
    first = train(parse_config(generating)).bundle
    generating["model"]["warm_start"] = str(first)
    generating["run"] |= {"output": str(tmp_path / "more"), "steps": 1}
    generating["optimiser"] |= {"lr": 0.0, "muon_lr": 0.0}
    monkeypatch.setattr(generation, "CODES_LR", 0.0)
    monkeypatch.setattr(generation, "MOST", 1.0)
    second = train(parse_config(generating), extend=True).bundle
    assert load_bundle(second).metadata["generation"] == load_bundle(first).metadata["generation"]


def assert_pauses_change_nothing(generating, tmp_path):
    whole = load_bundle(train(parse_config(generating)).bundle)
    generating["run"]["output"] = str(tmp_path / "again")
    config = parse_config(generating)
    while not train(config, resume=True, pause_after=0).finished:
        pass
    again = load_bundle(tmp_path / "again" / "made-test.safetensors")
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)


def test_a_paused_run_has_the_same_codes_again(generating, monkeypatch, tmp_path):
    looking(generating, monkeypatch)
    generating["run"]["steps"] = 4
    assert_pauses_change_nothing(generating, tmp_path)


def test_a_run_leaves_a_model_that_makes_pictures_of_a_latent(generating, tmp_path):
    generating["run"] |= {"steps": 6, "validate_every": 3}
    outcome = train(parse_config(generating))
    bundle = load_bundle(outcome.bundle)
    bundle.check_tensors()
    assert not [name for name in bundle.tensors if name.startswith("encoder")]
    assert next(iter(bundle.graph.inputs)) == "latent"
    assert list(bundle.graph.outputs) == ["sample", "sample.1"]
    assert bundle.task.name == "generate"
    assert json.loads(bundle.metadata["generation"]) == {
        "shared": 2,
        "margin": 1,
        "side": 32,
    }
    assert {t.dtype for t in bundle.tensors.values()} == {np.dtype(np.float16)}
    sheets = sorted(path.name for path in (tmp_path / "run" / "samples").iterdir())
    assert sheets == ["0000003.png", "0000006.png"]
    assert Image.open(tmp_path / "run" / "samples" / sheets[0]).size == (8 * 34, 8 * 34)
    with (tmp_path / "run" / "curves.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert 0 < float(last["likeness"]) < 1
    assert float(last["distance"]) > 0


def test_a_paused_run_goes_on_to_the_same_weights(generating, tmp_path):
    generating["run"]["steps"] = 10
    assert_pauses_change_nothing(generating, tmp_path)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("generation", {"shared": 5}, "less than 5, the fewest channels"),
        ("data", {"patch": 34}, "a multiple of 4"),
        ("data", {"patch": 16}, "from 32"),
        ("late", {}, "not for \\[generation\\]"),
    ],
)
def test_what_does_not_fit_is_refused(generating, section, change, message):
    generating.setdefault(section, {}).update(change)
    with pytest.raises(TrainingError, match=message):
        parse_config(generating)


def test_a_latent_without_a_generation_and_one_without_an_opponent_are_refused(generating):
    del generating["adversarial"]
    with pytest.raises(TrainingError, match="needs something to learn from"):
        parse_config(generating)
    del generating["generation"]
    with pytest.raises(TrainingError, match=r"model\.latent is for"):
        parse_config(generating)


def test_larger_pictures_are_reduced_to_the_side_asked_for(generating, photographs):
    from imagen_fast.training.pictures import read_pictures

    generating["generation"]["side"] = 40
    read = read_pictures(parse_config(generating), lambda text: None)
    assert {min(low.shape[:2]) for low, _ in read.train[0].pairs.values()} == {40}
    low, high = read.train[0].pairs["0.png"]
    assert low.shape == (46, 40, 3)  # of 70 × 61
    original = np.asarray(Image.open(photographs / "0.png"), np.float32)
    assert abs(low.mean() - original.mean()) < 2
    assert high is low


def test_a_sheet_shows_pictures_in_rows():
    pictures = torch.arange(4).view(4, 1, 1, 1).expand(4, 3, 5, 5) / 255
    shown = sheet(pictures)
    assert shown.shape == (14, 14, 3)
    assert [int(shown[y, x, 0]) for y in (0, 7) for x in (0, 7)] == [0, 1, 2, 3]


def test_a_generator_of_textures_has_codes_of_what_it_learnt_from(generating, monkeypatch):
    looking(generating, monkeypatch)["run"] |= {"steps": 1}
    said = json.loads(load_bundle(train(parse_config(generating)).bundle).metadata["generation"])
    assert np.shape(said["codes"]) == (12, 2)
    assert 0.7 < np.std(said["codes"]) < 2
