"""The kernels between levels against the reference blocks in float64."""

import copy

import pytest
import torch
from tolerance import DEVICE, DTYPES, assert_parity

from imagen_fast.models.blocks import Down, Up

down_kernel = pytest.importorskip("imagen_fast.kernels.triton.down")
up_kernel = pytest.importorskip("imagen_fast.kernels.triton.up")

# N, H, W of the finer level, its channels, the coarser level's channels
CASES = {
    "even sides, several blocks of pixels, batch": (2, 12, 18, 32, 48),
    "odd sides, blocks that cross images": (3, 7, 9, 16, 32),
    "one pixel": (1, 1, 1, 16, 16),
    "odd height alone": (1, 3, 8, 32, 32),
    "odd width alone": (1, 4, 1, 16, 32),
    "channels that fill no tile": (1, 5, 6, 20, 12),
    "several blocks of channels": (1, 3, 4, 96, 192),
}
SMALL = {"block_m": 32, "num_stages": 1}


def nhwc(block, dtype, *inputs):
    """The block in `dtype` on NHWC inputs → NHWC float64."""
    with torch.inference_mode():
        moved = [None if x is None else x.to(dtype).permute(0, 3, 1, 2) for x in inputs]
        return copy.deepcopy(block).to(DEVICE, dtype)(*moved).permute(0, 2, 3, 1).double()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_down(case, dtype):
    n, h, w, c, coarser = CASES[case]
    torch.manual_seed(0)
    block = Down(c, coarser).requires_grad_(False)
    x = torch.randn(n, h, w, c, device=DEVICE).to(dtype)
    weights = down_kernel.pack_down(block.conv.weight, block.conv.bias, dtype, DEVICE)
    out = x.new_full((n, (h + 1) // 2, (w + 1) // 2, coarser), torch.nan)
    assert down_kernel.down(x, weights, out=out, config=SMALL) is out
    assert_parity(out, nhwc(block, torch.float64, x), nhwc(block, dtype, x))
    assert torch.equal(down_kernel.down(x, weights, config=SMALL), out)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_up(case, dtype):
    """With a skip, whose odd sides crop the result."""
    n, h, w, c, coarser = CASES[case]
    torch.manual_seed(0)
    block = Up(coarser, c).requires_grad_(False)
    block.conv.weight.mul_(10)
    x = torch.randn(n, (h + 1) // 2, (w + 1) // 2, coarser, device=DEVICE).to(dtype)
    skip = torch.randn(n, h, w, c, device=DEVICE).to(dtype)
    weights = up_kernel.pack_up(block.conv.weight, block.conv.bias, dtype, DEVICE)
    out = torch.full_like(skip, torch.nan)
    assert up_kernel.up(x, weights, skip, out=out, config=SMALL) is out
    assert_parity(out, nhwc(block, torch.float64, x, skip), nhwc(block, dtype, x, skip))


@pytest.mark.parametrize("dtype", DTYPES)
def test_up_without_a_skip(dtype):
    torch.manual_seed(0)
    block = Up(48, 32).requires_grad_(False)
    x = torch.randn(2, 3, 5, 48, device=DEVICE).to(dtype)
    weights = up_kernel.pack_up(block.conv.weight, block.conv.bias, dtype, DEVICE)
    out = up_kernel.up(x, weights)
    assert out.shape == (2, 6, 10, 32)
    truth, theirs = (nhwc(block, kind, x, None) for kind in (torch.float64, dtype))
    assert_parity(out, truth, theirs)
