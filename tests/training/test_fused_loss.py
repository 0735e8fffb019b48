"""Losses and their gradients by the native kernels, beside PyTorch's."""

import pytest
import torch

from imagen_fast.training.config import LossConfig
from imagen_fast.training.fused_loss import fuse_loss, fused_frequency_distance
from imagen_fast.training.losses import DISTANCES, PictureLoss, frequency_distance

native = pytest.importorskip("imagen_fast._native")
ISAS, Training = native.trainable(), native.Training
# By its length. In bfloat16 a difference and the cosines are rounded by up to 2^-9.
SPECTRUM = {"bf16": (2**-8, 2**-6), "fp32": (1e-5, 1e-5)}

if not ISAS:
    pytest.skip("this processor has no kernels for training", allow_module_level=True)

CASES = {
    "patches": (2, 3, 96, 192),
    "sides that fill no tile": (2, 3, 50, 33),
    "fewer rows than a tile": (3, 1, 7, 40),
    "four channels": (1, 4, 24, 24),
    "a pixel": (1, 3, 1, 1),
    "left to a fast transform": (1, 1, 8, 600),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_distance_and_gradient(case, threads, isa):
    torch.manual_seed(0)
    target = torch.rand(CASES[case]).to(memory_format=torch.channels_last)
    picture = target + 0.1 * torch.randn(CASES[case])
    training = Training(isa=isa, threads=threads)
    fast = fused_frequency_distance(training)
    results = []
    for distance in (frequency_distance, fast):
        x = picture.clone().requires_grad_()
        value = distance(x, target)
        (gradient,) = torch.autograd.grad(3 * value, x)
        results.append((value.detach(), gradient))
    (value, gradient), (found, found_gradient) = results
    error, gradient_error = SPECTRUM[training.precision]
    assert abs(found - value) <= error * value
    assert (found_gradient - gradient).norm() <= gradient_error * gradient.norm()


def test_equal_pictures_have_no_gradient():
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    fast = fused_frequency_distance(Training())
    value = fast(x, x.detach())
    (gradient,) = torch.autograd.grad(value, x)
    assert value < 1e-12
    assert not gradient.any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pixel", DISTANCES)
def test_the_whole_loss(pixel, threads, isa, layout):
    torch.manual_seed(0)
    sizes = [(5, 3, 58, 74), (5, 3, 29, 37)]  # more than 4096 samples, and some left over
    target = torch.rand(sizes[0]).to(memory_format=layout)
    pictures = [torch.rand(size).to(memory_format=layout).requires_grad_() for size in sizes]
    with torch.no_grad():
        pictures[0][0] = target[0]  # one that is right already
    results = []
    loss, training = (
        PictureLoss(LossConfig(pixel, frequency=0.05, coarse=0.3)),
        Training(isa=isa, threads=threads),
    )
    for fused in (False, True):
        if fused:
            fuse_loss(loss, training)
        parts = loss(pictures, target)
        gradients = torch.autograd.grad(2 * parts["loss"], pictures)
        results.append(([x.detach() for x in parts.values()], gradients))
    (values, gradients), (found, found_gradients) = results
    error, _ = SPECTRUM[training.precision]
    torch.testing.assert_close(found, values, rtol=error, atol=0)
    for a, b in zip(found_gradients, gradients, strict=True):
        assert (a - b).norm() <= error * b.norm()


def test_sums_are_those_of_the_usual_distances():
    """Without the spectra's rounding: to the last digits of float32."""
    torch.manual_seed(0)
    loss = PictureLoss(LossConfig("l1", frequency=0))
    a, b = torch.rand(3, 3, 40, 41, requires_grad=True), torch.rand(3, 3, 40, 41)
    expected = loss([a], b)["loss"]
    (gradient,) = torch.autograd.grad(expected, a)
    fuse_loss(loss, Training())
    found = loss([a], b)["loss"]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(torch.autograd.grad(found, a)[0], gradient, rtol=1e-6, atol=0)
