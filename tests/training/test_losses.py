import numpy as np
import pytest
import torch

from imagen_fast.training.config import LossConfig
from imagen_fast.training.losses import PictureLoss, spectrum_distance


def pictures():
    torch.manual_seed(0)
    target = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    return [torch.rand(2, 3, 8 >> i, 12 >> i, dtype=torch.float64) for i in range(3)], target


@pytest.mark.parametrize("kind", ["l1", "charbonnier", "psnr"])
def test_the_parts_and_their_sum(kind):
    guesses, target = pictures()
    losses = PictureLoss(LossConfig(kind, frequency=0.3, coarse=0.2))(guesses, target)

    def distance(a, b):
        if kind == "psnr":
            return (10 * np.log10(((a - b) ** 2).mean((1, 2, 3)) + 1e-4)).mean()
        return np.abs(a - b).mean() if kind == "l1" else np.sqrt((a - b) ** 2 + 1e-6).mean()

    fine, middle, small = (guess.numpy() for guess in guesses)
    truth = target.numpy()
    halved = truth.reshape(2, 3, 4, 2, 6, 2).mean((3, 5))
    quartered = truth.reshape(2, 3, 2, 4, 3, 4).mean((3, 5))
    spectrum = np.fft.fft2(fine - truth, norm="ortho")[..., :7]  # the rest mirrors it
    expected = {
        "pixel": distance(fine, truth),
        "frequency": np.abs(spectrum).mean(),
        "coarse": distance(middle, halved) + distance(small, quartered),
    }
    expected["loss"] = expected["pixel"] + 0.3 * expected["frequency"] + 0.2 * expected["coarse"]
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-10)


def test_parts_without_weight_are_not_computed():
    guesses, target = pictures()
    losses = PictureLoss(LossConfig(frequency=0, coarse=0))(guesses, target)
    assert set(losses) == {"loss", "pixel"}
    alone = PictureLoss(LossConfig(frequency=0, coarse=0.1))(guesses[:1], target)
    assert set(alone) == {"loss", "pixel"}


def test_gradients_are_finite_where_a_picture_is_right():
    _, target = pictures()
    for kind in ("l1", "charbonnier", "psnr"):
        guess = target.clone().requires_grad_(True)
        PictureLoss(LossConfig(kind, frequency=1.0))([guess], target)["loss"].backward()
        assert torch.isfinite(guess.grad).all()


def test_the_spectrum_of_a_batch_sees_a_pattern_that_all_have_and_no_place():
    torch.manual_seed(0)
    one, two = torch.rand(2, 16, 3, 16, 16)
    assert spectrum_distance(one, one.roll(3, 2)).item() == pytest.approx(0, abs=1e-6)
    apart = spectrum_distance(one, two).item()
    hatch = 0.3 * (torch.arange(16) % 2 - 0.5)
    assert spectrum_distance(one + hatch, two).item() > 1.2 * apart
