"""kernels/triton/conv_block.py on a GPU. Not yet run on one."""

import pytest
import torch
import torch.nn.functional as F


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("channels", [32, 64, 96, 128])
def bench_triton_conv_block(keep, cuda, channels, dtype):
    from imagen_fast.kernels.triton.conv_block import conv_block, pack_conv_block

    torch.manual_seed(0)
    n, side = 1, 512
    x = torch.randn(n, side, side, channels, device=cuda).to(dtype)
    weight = torch.randn(channels, channels, 3, 3, device=cuda) / (9 * channels) ** 0.5
    bias = torch.randn(channels, device=cuda)
    weights = pack_conv_block(weight, bias, dtype, cuda)
    truth = x.double().permute(0, 3, 1, 2)
    truth = truth + F.silu(F.conv2d(truth, weight.double(), bias.double(), padding=1))
    error = (conv_block(x, weights).double() - truth.permute(0, 2, 3, 1)).abs().max().item()
    assert error < (1e-3 if dtype == torch.float32 else 0.1), f"wrong by {error}"

    def work():
        conv_block(x, weights)
        torch.cuda.synchronize()

    keep(work, 18 * n * side**2 * channels**2 / 1e9)
