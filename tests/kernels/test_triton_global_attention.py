"""The global attention kernels against PyTorch's block and the listing's layer in float64."""

import copy

import pytest
import torch
from attention_block import random_block, run_block
from tolerance import DEVICE, DTYPES, amid_nan, assert_parity

from imagen_fast.models.listing import SelfAttention

triton_kernel = pytest.importorskip("imagen_fast.kernels.triton.global_attention")

# N, H, W, C, head_dim, tokens of the context (None: x itself)
CASES = {
    "several blocks of queries and keys": (1, 9, 17, 64, 32, None),
    "one pixel": (2, 1, 1, 32, 32, None),
    "context of other tokens": (2, 5, 7, 64, 32, 67),
    "one token of context": (1, 3, 3, 96, 32, 1),
    "channels and heads that fill no tile": (2, 3, 5, 20, 5, 7),
    "heads whose columns fill no block": (1, 3, 9, 48, 16, None),
    "a wide head": (1, 5, 5, 64, 64, None),
    "the widest head": (1, 3, 5, 128, 128, 19),
}


def compare(case, dtype, temperature=1.5, also=False):
    n, h, w, c, head_dim, tokens = case
    torch.manual_seed(0)
    block = random_block(c, head_dim, 0, 0, temperature)
    x, addend = torch.randn(2, n, h, w, c, device=DEVICE).to(dtype)
    addend = addend if also else None
    context = None if tokens is None else torch.randn(n, tokens, c, device=DEVICE).to(dtype)
    weights = triton_kernel.pack_global_attention(
        block.q.weight, block.kv.weight, block.proj.weight, block.temperature,
        dtype=dtype, device=DEVICE,
    )  # fmt: skip
    weights = amid_nan(weights)
    keys = h * w if tokens is None else tokens
    size = triton_kernel.scratch_elements(weights, n * h * w, n * keys)
    out, scratch = torch.full_like(x, float("nan")), x.new_full((size,), float("nan"))
    got = triton_kernel.global_attention(x, weights, context, addend, out=out, scratch=scratch)
    assert got is out
    truth = run_block(block, x, context, addend, torch.float64)
    assert_parity(out, truth, run_block(block, x, context, addend, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_parity(case, dtype):
    compare(CASES[case], dtype)


def test_an_addend():
    compare(CASES["context of other tokens"], torch.float16, also=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_logits_beyond_any_float_exponential(dtype):
    compare(CASES["several blocks of queries and keys"], dtype, temperature=40.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d_model", [64, 24])  # the preset's; one that fills no tile
def test_listing(d_model, dtype):
    torch.manual_seed(0)
    layer = SelfAttention(d_model)
    with torch.no_grad():
        layer.q.weight.mul_(6)  # scores of both signs that matter
    x = torch.randn(2, 70, d_model, device=DEVICE).to(dtype)
    q, k, v, last = ((m.weight, m.bias) for m in (layer.q, layer.k, layer.v, layer.out))
    weights = triton_kernel.pack_listing(q, k, v, last, dtype=dtype, device=DEVICE)
    out = torch.full_like(x, float("nan"))
    triton_kernel.global_attention(x, weights, residual=False, out=out)
    with torch.inference_mode():
        truth, theirs = (
            copy.deepcopy(layer).to(DEVICE, t)(x.to(t)).double() for t in (torch.float64, dtype)
        )
    assert_parity(out, truth, theirs)


def test_a_head_too_wide_is_refused():
    layer = SelfAttention(160)
    each = layer.q.weight, layer.q.bias
    with pytest.raises(ValueError, match="head_dim is 160; the kernels take up to 128"):
        triton_kernel.pack_listing(each, each, each, each, dtype=torch.float16, device="cpu")
