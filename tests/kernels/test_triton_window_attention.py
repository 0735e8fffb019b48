"""The window attention kernels against PyTorch's block in float64."""

import pytest
import torch
from attention_block import random_block, run_block
from tolerance import DEVICE, DTYPES, amid_nan, assert_parity

triton_kernel = pytest.importorskip("imagen_fast.kernels.triton.window_attention")

# N, H, W, C, head_dim, window
CASES = {
    "whole windows": (1, 8, 16, 64, 32, 8),
    "odd sides": (2, 9, 13, 32, 32, 8),
    "smaller than a window": (1, 3, 5, 64, 32, 8),
    "one pixel": (1, 1, 1, 32, 32, 8),
    "channels in three chunks": (1, 8, 9, 96, 32, 8),
    "most channels of one launch": (1, 5, 8, 128, 32, 8),
    "two launches": (1, 8, 5, 160, 32, 8),
    "channels and heads that fill no tile": (1, 9, 7, 20, 5, 6),
    "window of fewer pixels than rows": (1, 7, 5, 32, 16, 4),
    "window of more pixels than rows": (1, 11, 13, 32, 32, 10),
    "a wide head": (1, 5, 8, 64, 64, 8),
    "heads whose columns fill no block": (1, 7, 9, 48, 16, 8),
}


def compare(case, dtype, shift, cross, also, temperature=1.5, config=None):
    n, h, w, c, head_dim, window = case
    torch.manual_seed(0)
    block = random_block(c, head_dim, window, window // 2 if shift else 0, temperature)
    x, context, addend = torch.randn(3, n, h, w, c, device=DEVICE).to(dtype)
    context, addend = context if cross else None, addend if also else None
    weights = triton_kernel.pack_window_attention(
        block.q.weight, block.kv.weight, block.proj.weight, block.temperature, block.position,
        dtype=dtype, device=DEVICE,
    )  # fmt: skip
    weights = amid_nan(weights)
    out = torch.full_like(x, float("nan"))
    scratch = None
    if config is None:
        size = triton_kernel.scratch_elements(weights, x.shape, dtype)
        scratch = x.new_full((size,), float("nan"))
    got = triton_kernel.window_attention(
        x, weights, context, addend, shift=block.shift, out=out, scratch=scratch, config=config
    )
    assert got is out
    truth = run_block(block, x, context, addend, torch.float64)
    assert_parity(out, truth, run_block(block, x, context, addend, dtype))
    return weights


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_parity(case, shift, dtype):
    compare(CASES[case], dtype, shift, cross=shift, also=False)


@pytest.mark.parametrize("case", ["odd sides", "two launches", "window of more pixels than rows"])
def test_self_attention_shifted_with_an_addend(case):
    compare(CASES[case], torch.float16, shift=True, cross=False, also=True)


@pytest.mark.parametrize("case", ["odd sides", "two launches"])
def test_every_number_of_launches(case):
    """In fp32, whose errors show more; compiled forms keep three launches for it."""
    for number in (1, 2, 3):
        compare(CASES[case], torch.float32, True, True, True, config={"launches": number})


@pytest.mark.parametrize("case", ["odd sides", "channels in three chunks"])
@pytest.mark.parametrize("cross", [False, True])
def test_weights_that_stay_in_shared_memory(case, cross):
    config = {"resident": 1, "programs": 2}
    compare(CASES[case], torch.float16, shift=True, cross=cross, also=cross, config=config)


@pytest.mark.parametrize("case", ["odd sides", "window of more pixels than rows"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_beyond_any_float_exponential(case, dtype):
    """A temperature of 40 gives logits up to ±226: e^226 is no float, the softmax is one-hot."""
    weights = compare(CASES[case], dtype, True, cross=False, also=False, temperature=40.0)
    assert not weights.bounded


def test_number_of_launches():
    def launches(case, dtype):
        c, head_dim, window = case[3:]
        block = random_block(c, head_dim, window, 0)
        weights = triton_kernel.pack_window_attention(
            block.q.weight, block.kv.weight, block.proj.weight, block.temperature,
            block.position, dtype=dtype, device="cpu",
        )  # fmt: skip
        return triton_kernel.launches(weights, dtype)

    assert [launches(case, torch.float16) for case in CASES.values()] == [
        *(1, 1, 1, 1, 1, 1), 2, *(1, 1), *(3, 3), 1
    ]  # fmt: skip
    assert launches(CASES["whole windows"], torch.float32) == 3
