"""3×3 convolutions by the native kernels err no more than PyTorch's do."""

import numpy as np
import pytest
import torch
from kernel_errors import ROUNDING, assert_as_good, in_precision, picture

from imagen_fast.errors import BackendError
from imagen_fast.models.blocks import ConvBlock, Head
from imagen_fast.training.fused import KERNELS, native_training
from imagen_fast.training.fused_convolution import fused_conv_block, fused_head
from imagen_fast.training.native_arrays import DTYPES, memory

native = pytest.importorskip("imagen_fast._native")
ISAS = native.trainable()

if not ISAS:
    pytest.skip("this processor has no kernels for training", allow_module_level=True)

# channels, images, height, width
SHAPES = {
    "one pixel": (32, 1, 1, 1),
    "a row": (32, 2, 1, 19),
    "a column": (16, 1, 19, 1),
    "odd sides, half a tile of channels": (16, 2, 7, 13),
    "odd sides, three halves": (48, 1, 13, 7),
    "a batch of patches": (32, 3, 48, 48),
    "64 channels": (64, 2, 21, 17),
    "96 channels": (96, 1, 9, 11),
    "wider than a band": (32, 1, 5, 300),
}
SCALES = (1, 2, 3, 4, 8)  # rows of 3 to 24 samples: part of a vector, and more than one


def block_of(channels):
    torch.manual_seed(0)
    return ConvBlock(channels).to(memory_format=torch.channels_last)


def head_of(channels, scale, image_channels=3):
    torch.manual_seed(0)
    head = Head(channels, scale, image_channels).to(memory_format=torch.channels_last)
    with torch.no_grad():
        head.conv.weight.mul_(10)
        head.conv.get_parameter("bias").normal_()
    return head


def results(run, module, inputs, precision):
    """The value, and the gradients of what there is of inputs and of the parameters, by name."""
    torch.manual_seed(1)
    with in_precision(precision):
        y = run(*inputs)
    wanted = dict(module.named_parameters())
    wanted |= {str(i): x for i, x in enumerate(inputs) if x is not None}
    loss = (y.float() * torch.randn(y.shape).bfloat16()).sum()
    gradients = torch.autograd.grad(loss, list(wanted.values()))
    return {"y": y.detach(), **dict(zip(wanted, gradients, strict=True))}


def assert_as_good_as_pytorch(module, inputs, training):
    precision = training.precision
    exact = results(module, module, inputs, "fp32")
    usual = results(module, module, inputs, precision)
    found = results(KERNELS[type(module)](module, training), module, inputs, precision)
    assert_as_good(found, usual, exact, ROUNDING[precision])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_blocks_values_and_all_gradients(shape, threads, isa):
    channels, *size = SHAPES[shape]
    training = native.Training(isa=isa, threads=threads)
    x = picture(size[0], channels, *size[1:])
    assert_as_good_as_pytorch(block_of(channels), [x], training)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_heads_picture_and_all_gradients(shape, scale, isa):
    channels, *size = SHAPES[shape]
    x = picture(size[0], channels, *size[1:])
    base = picture(size[0], 3, *size[1:])
    training = native.Training(isa=isa)
    assert_as_good_as_pytorch(head_of(channels, scale), [x, base], training)
    assert_as_good_as_pytorch(head_of(channels, scale), [x, None], training)


@pytest.mark.parametrize("image_channels", [1, 4])
def test_heads_of_grey_pictures_and_with_alpha(image_channels):
    inputs = [picture(1, 32, 7, 9), picture(1, image_channels, 7, 9)]
    assert_as_good_as_pytorch(head_of(32, 2, image_channels), inputs, native_training())


@pytest.mark.parametrize("isa", ISAS)
def test_nothing_of_earlier_calls_is_left(isa):
    """Memory is used again: what is read for nothing must be finite, whatever was there."""
    training = native.Training(isa=isa)
    block = block_of(32)
    run = fused_conv_block(block, training)
    x = picture(1, 32, 9, 11)
    before = results(run, block, [x], training.precision)
    infinite = picture(1, 32, 48, 48).detach().mul(torch.inf).requires_grad_()
    results(run, block, [infinite], training.precision)
    after = results(run, block, [x], training.precision)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_threads_sum_in_one_order():
    """So that a run which is made again gives the same weights."""
    block, x = block_of(32), picture(7, 32, 16, 16)
    training = native.Training(threads=3)
    run = fused_conv_block(block, training)
    first = results(run, block, [x], training.precision)
    for _ in range(20):
        again = results(run, block, [x], training.precision)
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("isa", ISAS)
def test_not_a_number_stays_where_it_is_seen(isa):
    x = torch.zeros(1, 32, 9, 11)
    x[0, 5, 4, 6] = torch.nan
    training = native.Training(isa=isa)
    found = fused_conv_block(block_of(32), training)(x).isnan().any(1)[0]
    assert found[3:6, 5:8].all()
    if training.precision == "fp32":  # Winograd's tiles of 4 × 4 that see it
        found[0:8, 4:8] = False
    else:
        found[3:6, 5:8] = False
    assert not found.any()


def test_what_the_kernels_do_not_fit_is_left_to_pytorch():
    training = native_training()
    assert fused_conv_block(ConvBlock(24), training) is None
    assert fused_head(Head(24, 2, 3), training) is None
    assert fused_head(Head(32, 2, 5), training) is None


@pytest.mark.parametrize("isa", ISAS)
def test_pictures_in_any_layout_and_precision(isa):
    training = native.Training(isa=isa)
    fast = fused_conv_block(block_of(32), training)
    x = picture(2, 32, 9, 11).detach()
    expected = fast(x)
    assert torch.equal(fast(x.contiguous()), expected)
    assert torch.equal(fast(x.bfloat16()), expected)
    assert expected.dtype == DTYPES[training.precision]
    assert expected.is_contiguous(memory_format=torch.channels_last)
    draw = fused_head(head_of(32, 2), training)
    base = picture(2, 3, 9, 11).detach()
    assert torch.equal(draw(x, base.contiguous()), draw(x, base))
    assert draw(x, base).dtype == torch.float32


def test_a_weight_in_any_layout():
    block, training = block_of(32), native_training()
    fast = fused_conv_block(block, training)
    x = picture(1, 32, 9, 11)
    before = results(fast, block, [x], training.precision)
    block.to(memory_format=torch.contiguous_format)
    after = results(fast, block, [x], training.precision)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("isa", ISAS)
def test_arrays_of_other_shapes_are_refused(isa):
    training = native.Training(isa=isa)
    x = memory(torch.zeros(1, 4, 4, 32, dtype=DTYPES[training.precision]))
    weights = [torch.zeros(32, 3, 3, 32).numpy(), torch.zeros(32).numpy()]
    with pytest.raises(BackendError, match="x and out must have the same shape"):
        training.conv_block(x, weights, x[:, :2].copy(), x.copy())
    with pytest.raises(BackendError, match="weight must be"):
        training.conv_block(x, [weights[1], weights[1]], x.copy(), x.copy())
    with pytest.raises(BackendError, match="multiple of 16"):
        training.conv_block(x[..., :8].copy(), weights, x.copy(), x.copy())
    with pytest.raises(BackendError, match="picture must be"):
        training.head(x, None, weights, 2, torch.zeros(1, 4, 4, 3).numpy())
    with pytest.raises(BackendError, match="x must be a C-contiguous array of"):
        training.conv_block(x.astype(np.float64), weights, x.copy(), x.copy())


def test_instruction_sets_without_such_kernels_are_refused():
    with pytest.raises(BackendError, match="'generic' has no kernels for training here; available"):
        native.Training(isa="generic")
