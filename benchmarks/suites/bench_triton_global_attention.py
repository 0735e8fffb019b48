"""kernels/triton/global_attention.py on a GPU. Not yet run on one."""

import pytest
import torch

from imagen_fast.models.blocks import AttentionBlock


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("channels", [32, 64, 96, 128])
def bench_triton_global_attention(keep, cuda, channels, dtype):
    from imagen_fast.kernels.triton import global_attention as kernel

    torch.manual_seed(0)
    side, window = 64, 0
    block = AttentionBlock(channels, 32, window, 0).to(cuda).requires_grad_(False)
    parts = [block.q.weight, block.kv.weight, block.proj.weight, block.temperature]
    parts += [block.position] if window else []
    weights = kernel.pack_global_attention(*parts, dtype=dtype, device=cuda)
    x = torch.randn(1, side, side, channels, device=cuda).to(dtype)
    truth = block.double()(x.double().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    error = (kernel.global_attention(x, weights).double() - truth).abs().max().item()
    assert error < (1e-3 if dtype == torch.float32 else 0.1), f"wrong by {error}"

    def work():
        kernel.global_attention(x, weights)
        torch.cuda.synchronize()

    keys = window**2 or side**2
    keep(work, side**2 * (8 * channels**2 + 4 * keys * channels) / 1e9)
