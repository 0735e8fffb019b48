"""The distance of spectra and its gradient by the native kernels, beside PyTorch's."""

import pytest
import torch

from imagen_fast.training.fused_spectrum import fused_frequency_distance
from imagen_fast.training.losses import frequency_distance

available = pytest.importorskip("imagen_fast._native").available
Training = pytest.importorskip("imagen_fast._native").Training

if not available("bf16"):
    pytest.skip("this processor has no kernels for bfloat16", allow_module_level=True)

CASES = {
    "patches": (2, 3, 96, 192),
    "sides that fill no tile": (2, 3, 50, 33),
    "fewer rows than a tile": (3, 1, 7, 40),
    "four channels": (1, 4, 24, 24),
    "a pixel": (1, 3, 1, 1),
    "left to a fast transform": (1, 1, 8, 600),
}


@pytest.mark.parametrize("isa", available("bf16"))
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_distance_and_gradient(case, threads, isa):
    torch.manual_seed(0)
    target = torch.rand(CASES[case]).to(memory_format=torch.channels_last)
    picture = target + 0.1 * torch.randn(CASES[case])
    fast = fused_frequency_distance(Training(isa=isa, threads=threads))
    results = []
    for distance in (frequency_distance, fast):
        x = picture.clone().requires_grad_()
        value = distance(x, target)
        (gradient,) = torch.autograd.grad(3 * value, x)
        results.append((value.detach(), gradient))
    (value, gradient), (found, found_gradient) = results
    # The difference and the cosines are rounded to bfloat16, by up to 2^-9.
    assert abs(found - value) <= 2**-8 * value
    assert (found_gradient - gradient).norm() <= 2**-6 * gradient.norm()


def test_equal_pictures_have_no_gradient():
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    fast = fused_frequency_distance(Training())
    value = fast(x, x.detach())
    (gradient,) = torch.autograd.grad(value, x)
    assert value < 1e-12
    assert not gradient.any()
