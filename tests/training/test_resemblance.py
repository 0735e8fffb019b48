import pytest
import torch
import torch.nn.functional as F

from imagen_fast.training.resemblance import features, kernel_distance, likeness, ms_ssim


def smooth(n, seed, colour=0.0):
    noise = torch.randn(n, 3, 80, 80, generator=torch.Generator().manual_seed(seed))
    return (0.5 + F.avg_pool2d(noise, 5, 1)[:, :, :64, :64] + colour).clamp(0, 1)


def test_halves_of_one_set_are_near_and_others_are_far():
    real, same = features(smooth(60, 0)), features(smooth(60, 1))
    assert abs(kernel_distance(real, same)) < 0.05
    noise = torch.rand(60, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    assert kernel_distance(real, features(noise)) > 1
    assert kernel_distance(real, features(smooth(60, 1, colour=0.1))) > 0.3


def test_one_picture_many_times_is_far_from_many():
    real, one = features(smooth(60, 0)), features(smooth(1, 5)).expand(60, -1)
    assert kernel_distance(real, one) > 0.3


def test_likeness_is_one_for_copies_and_low_for_others():
    assert likeness(smooth(1, 0).expand(8, -1, -1, -1)) == pytest.approx(1, abs=1e-4)
    assert likeness(smooth(8, 0)) < 0.2


def test_ms_ssim_falls_with_noise():
    a = smooth(2, 0).mean(1, keepdim=True)
    little = (a + 0.02 * torch.randn(a.shape)).clamp(0, 1)
    much = (a + 0.2 * torch.randn(a.shape)).clamp(0, 1)
    one, two, three = (ms_ssim(a, b).mean().item() for b in (a, little, much))
    assert one == pytest.approx(1, abs=1e-5)
    assert one > two > three
