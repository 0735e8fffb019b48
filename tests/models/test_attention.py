"""Window attention against its definition, computed one pixel at a time in float64."""

import math

import numpy as np
import pytest
import torch

from imagen_fast.models.blocks import AttentionBlock


def attend_by_definition(block, x, context):
    """x, context (C, H, W) float64 → the block's output, pixel by pixel."""
    c, height, width = x.shape
    win, shift, d = block.window, block.shift, block.head_dim
    wq, wkv, wp = (m.weight.detach().numpy() for m in (block.q, block.kv, block.proj))
    position = block.position.detach().numpy()
    temperature = block.temperature.detach().numpy()

    def cell(pixel):  # where in its window a pixel lies
        return (pixel[0] + shift) % win * win + (pixel[1] + shift) % win

    def window(pixel):
        return (pixel[0] + shift) // win, (pixel[1] + shift) // win

    def unit(v):
        return v / math.sqrt((v**2).mean() + 1e-6)

    pixels = [(y, x) for y in range(height) for x in range(width)]
    x, context = x.transpose(1, 2, 0), context.transpose(1, 2, 0)
    out = np.empty_like(x)
    for p in pixels:
        q = wq @ (x[p] + position[cell(p)])
        seen = [o for o in pixels if window(o) == window(p)]
        kv = [wkv @ (context[o] + position[cell(o)]) for o in seen]
        mixed = np.empty(c)
        for head, tau in enumerate(temperature):
            part = slice(head * d, (head + 1) * d)
            logits = np.array([tau * unit(q[part]) @ unit(k[:c][part]) / math.sqrt(d) for k in kv])
            weights = np.exp(logits) / np.exp(logits).sum()
            mixed[part] = sum(w * k[c:][part] for w, k in zip(weights, kv, strict=True))
        out[p] = x[p] + wp @ mixed
    return out.transpose(2, 0, 1)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(
    ("height", "width"),
    [(8, 8), (1, 1), (5, 7), (4, 3)],  # whole windows, one pixel, odd sides, under a window
)
@pytest.mark.parametrize("cross", [False, True])
def test_windows_agree_with_the_definition(shift, height, width, cross):
    torch.manual_seed(0)
    block = AttentionBlock(8, head_dim=4, window=4, shift=shift).double()
    with torch.no_grad():  # away from the near-identity that a block starts as
        block.proj.weight.mul_(10)
        block.temperature.copy_(torch.tensor([0.5, 3.0]))
        block.position.mul_(30)
    x, other = torch.randn(2, 2, 8, height, width, dtype=torch.float64)
    out = block(x, other if cross else None).detach().numpy()
    for i in range(2):
        truth = attend_by_definition(block, x[i].numpy(), (other if cross else x)[i].numpy())
        np.testing.assert_allclose(out[i], truth, rtol=1e-10, atol=1e-12)


def test_global_attention_is_one_window_over_everything():
    torch.manual_seed(0)
    wide = AttentionBlock(8, head_dim=4, window=0, shift=0).double()
    windowed = AttentionBlock(8, head_dim=4, window=6, shift=0).double()
    windowed.load_state_dict(wide.state_dict(), strict=False)
    torch.nn.init.zeros_(windowed.position)
    x = torch.randn(1, 8, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(wide(x), windowed(x))


def test_global_attention_reads_tokens_in_any_order():
    torch.manual_seed(0)
    block = AttentionBlock(8, head_dim=4, window=0, shift=0).double()
    x = torch.randn(1, 8, 3, 5, dtype=torch.float64)
    tokens = torch.randn(1, 11, 8, dtype=torch.float64)
    out = block(x, tokens)
    torch.testing.assert_close(out, block(x, tokens.flip(1)))
    assert not torch.allclose(out, block(x, tokens[:, :5]))


def test_attention_stays_finite_in_half_precision_whatever_the_input():
    torch.manual_seed(0)
    block = AttentionBlock(8, head_dim=4, window=4, shift=0).half()
    x = 200 * torch.randn(1, 8, 4, 4).half()  # q kᵀ alone would pass 65504, fp16's largest
    q, k = block.q(x.flatten(2).mT), block.kv(x.flatten(2).mT)[..., :8]
    assert not torch.isfinite(q[..., :4] @ k[..., :4].mT * 4).all()
    assert torch.isfinite(block(x)).all()
