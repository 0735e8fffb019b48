"""Window attention by the native kernels errs no more than PyTorch's does."""

import pytest
import torch
from kernel_errors import ROUNDING, assert_as_good, in_precision, picture

from imagen_fast.models.blocks import AttentionBlock
from imagen_fast.training.fused import native_training
from imagen_fast.training.fused_attention import fused_attention
from imagen_fast.training.native_arrays import DTYPES

native = pytest.importorskip("imagen_fast._native")
ISAS = native.trainable()

if not ISAS:
    pytest.skip("this processor has no kernels for training", allow_module_level=True)

# channels, head_dim, window, shift, images, height, width, whether with a context
CASES = {
    "plain": (32, 32, 8, 0, 2, 16, 24, False),
    "shifted": (32, 32, 8, 4, 2, 16, 24, False),
    "no multiple of the window": (32, 32, 8, 4, 1, 13, 19, False),
    "smaller than a window": (32, 32, 8, 0, 3, 3, 5, False),
    "two pixels": (32, 32, 8, 4, 1, 1, 2, False),
    "context": (32, 32, 8, 4, 2, 13, 19, True),
    "narrow heads": (32, 16, 8, 4, 1, 9, 17, True),
    "heads of 8": (64, 8, 8, 0, 1, 9, 17, False),
    "wide heads": (64, 64, 8, 4, 1, 9, 17, True),
    "three heads, windows of 12": (96, 32, 12, 6, 1, 25, 13, True),
    "windows of 4": (64, 32, 4, 2, 1, 9, 6, False),
    "windows of 16": (160, 32, 16, 8, 1, 20, 20, False),
}


def block_of(channels, head_dim, window, shift):
    """All of its parameters matter, and its probabilities differ."""
    torch.manual_seed(0)
    block = AttentionBlock(channels, head_dim, window, shift)
    with torch.no_grad():
        block.proj.weight.mul_(10)
        block.position.mul_(20)
        block.temperature.copy_(0.5 + 2 * torch.rand_like(block.temperature))
    return block


def values_and_gradients(run, block, x, context, precision):
    """By name; gradients of several losses, or else a single number's may be 0 by chance."""
    torch.manual_seed(1)
    with in_precision(precision):
        y = run(x, context)
    wanted = dict(block.named_parameters()) | {"x": x}
    if context is not None:
        wanted["context"] = context
    gradients = []
    for _ in range(4):
        loss = (y.float() * torch.randn(y.shape).bfloat16()).sum()
        gradients.append(torch.autograd.grad(loss, list(wanted.values()), retain_graph=True))
    stacked = (torch.stack(of) for of in zip(*gradients, strict=True))
    return {"y": y.detach(), **dict(zip(wanted, stacked, strict=True))}


def assert_as_good_as_pytorch(block, x, context, training, rounding):
    fast, precision = fused_attention(block, training), training.precision
    exact = values_and_gradients(block, block, x, context, "fp32")
    usual = values_and_gradients(block, block, x, context, precision)
    assert_as_good(values_and_gradients(fast, block, x, context, precision), usual, exact, rounding)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_values_and_all_gradients(case, threads, isa):
    channels, head_dim, window, shift, n, h, w, crossed = CASES[case]
    block = block_of(channels, head_dim, window, shift)
    x = picture(n, channels, h, w)
    context = picture(n, channels, h, w) if crossed else None
    training = native.Training(isa=isa, threads=threads)
    assert_as_good_as_pytorch(block, x, context, training, ROUNDING[training.precision])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("temperature", [-3.0, 30.0])
def test_logits_of_any_size(temperature, isa):
    block = block_of(32, 32, 8, 4)
    with torch.no_grad():
        block.temperature.fill_(temperature)
    training = native.Training(isa=isa)
    rounding = 25 * ROUNDING[training.precision]  # such a temperature multiplies it
    assert_as_good_as_pytorch(block, picture(1, 32, 13, 19), None, training, rounding)


@pytest.mark.parametrize("settings", [(24, 24, 8, 0), (32, 32, 0, 0), (32, 32, 18, 0)])
def test_what_the_kernels_do_not_fit_is_left_to_pytorch(settings):
    assert fused_attention(AttentionBlock(*settings), native_training()) is None


@pytest.mark.parametrize("isa", ISAS)
def test_pictures_in_any_layout_and_precision(isa):
    block, training = block_of(32, 32, 8, 4), native.Training(isa=isa)
    fast = fused_attention(block, training)
    x = picture(2, 32, 9, 11)
    expected = fast(x)
    assert torch.equal(fast(x.detach().contiguous()), expected)
    assert torch.equal(fast(x.detach().bfloat16()), expected)
    assert expected.dtype == DTYPES[training.precision]
    assert expected.is_contiguous(memory_format=torch.channels_last)
