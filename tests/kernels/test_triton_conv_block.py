"""The convolution block's kernels against the reference block in float64."""

import copy

import pytest
import torch

pytest.importorskip("triton")

from imagen_fast.kernels.triton.conv_block import conv_block, default_config, pack_conv_block
from tolerance import DEVICE, DTYPES, FLOOR

from imagen_fast.models.blocks import ConvBlock

ROWS = {"form": "rows", "block_w": 16, "num_warps": 4, "num_stages": 1}
TAPS = {
    **{"form": "taps", "block_h": 4, "block_w": 8, "block_k": 16, "block_n": 16, "tail": 0},
    **{"descriptor": False, "num_warps": 4, "num_stages": 2},
}
CASES = {
    "rows: wider than a strip, taller than a run": (ROWS, (1, 9, 19, 16)),
    "rows: one pixel in a batch": (ROWS, (3, 1, 1, 16)),
    "rows: one column": (ROWS, (1, 6, 1, 32)),
    "taps: no multiple of a tile, batch": (TAPS, (2, 5, 11, 32)),
    "taps: one row": (TAPS, (1, 1, 17, 16)),
    "taps: a tail, as 96 channels have": ({**TAPS, "block_n": 32, "tail": 16}, (1, 5, 9, 48)),
    "taps: channels that fill no tile": (TAPS, (1, 3, 9, 20)),
    "cudnn": ({"form": "cudnn"}, (1, 7, 6, 32)),
}


# `rows` is for 16 bits: in fp32 the weights do not fit.
RUNS = [
    (case, dtype)
    for case, (config, _) in CASES.items()
    for dtype in DTYPES
    if config["form"] != "rows" or dtype != torch.float32
]


@pytest.mark.parametrize(("case", "dtype"), RUNS, ids=str)
def test_parity(case: str, dtype: torch.dtype) -> None:
    config, shape = CASES[case]
    torch.manual_seed(0)
    block = ConvBlock(shape[3])
    with torch.no_grad():
        block.conv.weight.mul_(3)
    x = torch.randn(shape)

    def reference(dtype: torch.dtype) -> torch.Tensor:
        with torch.inference_mode():
            y = copy.deepcopy(block).to(DEVICE, dtype)(x.to(DEVICE, dtype).permute(0, 3, 1, 2))
        return y.permute(0, 2, 3, 1).double()

    weights = pack_conv_block(block.conv.weight, block.conv.bias, dtype, DEVICE)
    out = torch.full(shape, torch.nan, dtype=dtype, device=DEVICE)
    with torch.inference_mode():
        result = conv_block(x.to(DEVICE, dtype), weights, out=out, config=config)
    assert result is out
    truth = reference(torch.float64)
    ours = (result.double() - truth).square().mean().sqrt()
    theirs = (reference(dtype) - truth).square().mean().sqrt()
    assert ours <= 2 * theirs + FLOOR[dtype]


@pytest.mark.parametrize("channels", [16, 20, 48, 64, 80, 96, 128, 192, 256])
def test_default_configurations_cover_all_channels(channels: int) -> None:
    depth = -(-channels // 16) * 16
    for arch in (80, 90, 100, 120):
        for dtype in (torch.bfloat16, torch.float32):
            config = default_config(channels, dtype, arch)
            if config["form"] == "taps":
                assert depth % (config["block_n"] + config["tail"]) == 0
                assert depth % config["block_k"] == 0
                assert min(config["block_n"], config["block_k"]) >= 16
            else:
                assert depth == channels
