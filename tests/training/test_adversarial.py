import csv
import math

import pytest
import torch
from torch import nn

from imagen_fast.models import listing
from imagen_fast.models.generator import Generator
from imagen_fast.training import adversarial, adversarial_losses
from imagen_fast.training.config_file import parse_config
from imagen_fast.training.processes import Processes
from imagen_fast.training.trainer import train


def test_the_articles_losses_are_those_of_its_probabilities():
    torch.manual_seed(0)
    real, fake = torch.randn(2, 50, dtype=torch.float64)
    torch.testing.assert_close(
        adversarial_losses.article_discriminator_loss(real, fake),
        listing.discriminator_loss(real.sigmoid(), fake.sigmoid()),
    )
    torch.testing.assert_close(
        adversarial_losses.article_generator_loss(real, fake),
        listing.generator_loss(fake.sigmoid()),
    )


def test_the_articles_losses_stay_finite_where_probabilities_are_zero():
    sure = torch.tensor([-200.0, 200.0], requires_grad=True)  # sigmoid rounds these to 0 and 1
    loss = adversarial_losses.article_discriminator_loss(sure, sure)
    loss = loss + adversarial_losses.article_generator_loss(sure, sure)
    loss.backward()
    assert loss.item() == pytest.approx(300)
    assert torch.isfinite(sure.grad).all()


def test_the_hinge_losses():
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0])
    assert adversarial_losses.hinge_discriminator_loss(real, fake).item() == pytest.approx(
        (0 + 0.5 + 2) / 3 + (0 + 1) / 2
    )
    assert adversarial_losses.hinge_generator_loss(real, fake).item() == pytest.approx(1.5)


def test_relativistic_losses_compare_a_pair_and_change_roles():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.0, 1.0])
    wrong = (math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 2
    loss = adversarial_losses.relativistic_discriminator_loss(real, fake)
    assert loss.item() == pytest.approx(wrong)
    shifted = adversarial_losses.relativistic_discriminator_loss(real + 5, fake + 5)
    torch.testing.assert_close(shifted, loss)
    torch.testing.assert_close(
        adversarial_losses.relativistic_generator_loss(fake, real),
        adversarial_losses.relativistic_discriminator_loss(real, fake),
    )


def test_feature_distance_sees_means_and_deviations_and_spares_the_photographs():
    torch.manual_seed(0)
    real = torch.randn(6, 4, 5, 5, requires_grad=True)
    fake = real.detach().clone().requires_grad_(True)
    assert adversarial_losses.feature_distance([real], [fake]).item() == pytest.approx(0, abs=1e-6)
    assert adversarial_losses.feature_distance([real], [fake + 1]).item() > 0.3
    wider = adversarial_losses.feature_distance([real], [2 * fake])
    assert wider.item() > 0.3
    wider.backward()
    assert real.grad is None
    assert fake.grad.abs().sum() > 0


def test_the_penalty_is_the_gradients_square():
    class Quadratic(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor(3.0))

        def forward(self, x):  # a patch is a pixel, and its logit's gradient a·x
            return (self.a * x.square() / 2).sum(1, keepdim=True)

    model, real = Quadratic(), torch.randn(4, 3, 5, 5)
    penalty = adversarial_losses.gradient_penalty(model, real)
    squares = real.square().sum(1).mean()  # over patches
    torch.testing.assert_close(penalty, 9 * squares)
    penalty.backward()
    torch.testing.assert_close(model.a.grad, 6 * squares)


def method(tables, **changes):
    tables["adversarial"] = {"depth": 1, **changes}
    config = parse_config(tables)
    torch.manual_seed(0)
    generator = Generator(config.model.spec)
    return adversarial.Adversarial(generator, config, config.adversarial, Processes("cpu", 1))


def batch():
    torch.manual_seed(1)
    return torch.rand(2, 3, 8, 8), torch.rand(2, 3, 16, 16)


def copied(module):
    return [p.detach().clone() for p in module.parameters()]


def changed(module, before):
    return [not torch.equal(p, b) for p, b in zip(module.parameters(), before, strict=True)]


@pytest.mark.parametrize("loss", ["article", "hinge", "relativistic"])
def test_a_step_moves_both_and_each_by_its_own_loss(tables, loss):
    step = method(tables, loss=loss)
    generator, discriminator = step.modules["generator"], step.modules["discriminator"]
    for optimiser, still, moves in (
        ("discriminator", generator, discriminator),
        ("generator", discriminator, generator),
    ):
        for name, rates in step.optimisers.items():
            on = name.startswith("discriminator") == (optimiser == "discriminator")
            for group in rates.param_groups:
                group["lr"] = 1e-3 if on else 0.0
        before, kept = copied(moves), copied(still)
        losses = step.step(0, *batch())
        # (the last bias has no gradient under a hinge that every patch violates)
        assert sum(changed(moves, before)) >= len(before) - 1
        assert not any(changed(still, kept))
    assert set(losses) == set(step.columns) - {"frequency", "features"}
    expected = losses["pixel"] + 0.1 * losses["coarse"] + 0.005 * losses["adversarial"]
    torch.testing.assert_close(losses["loss"], expected)


def test_the_penalty_is_taken_every_so_many_steps(tables):
    step = method(tables, r1=1.0, r1_every=3)
    assert ["penalty" in step.step(i, *batch()) for i in range(5)] == [1, 0, 0, 1, 0]
    without = method(tables, r1=0.0)
    assert "penalty" not in without.step(0, *batch())


def test_r2_is_taken_on_what_was_made(tables):
    one, both = (method(tables, r1=1.0, r2=r2).step(0, *batch())["penalty"] for r2 in (0.0, 1.0))
    assert both > one


def test_features_are_compared_if_they_have_a_weight(tables):
    losses = method(tables, features=2.0).step(0, *batch())
    assert losses["features"] > 0
    expected = losses["pixel"] + 0.1 * losses["coarse"] + 0.005 * losses["adversarial"]
    torch.testing.assert_close(losses["loss"], expected + 2 * losses["features"])


@pytest.mark.parametrize("loss", ["article", "hinge", "relativistic"])
def test_forty_steps_hold_and_keep_their_curves(tables, tmp_path, loss):
    tables["adversarial"] = {"loss": loss, "depth": 1, "lr": 1e-3}
    tables["run"]["steps"] = 40
    assert train(parse_config(tables)).finished
    with (tmp_path / "run" / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    for row in rows:
        for name in ("loss", "adversarial", "discriminator", "real", "fake"):
            assert math.isfinite(float(row[name]))
        assert 0 < float(row["fake"]) < 1
    late = rows[-10:]  # it learnt something: it tells them apart better than by chance
    real, fake = (sum(float(row[name]) for row in late) for name in ("real", "fake"))
    assert real > fake
    assert float(rows[-1]["pixel"]) < float(rows[0]["pixel"])
