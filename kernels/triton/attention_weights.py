"""An attention block's weights in the layout that the kernels read, and the normalisation.

q̂ = q / rms(q) and k̂ = k / rms(k) per head bound a logit by |τ| √d (Henry et al. 2020,
arXiv:2010.04245). τ, 1/√d and log₂e go into q̂, so that a probability is one `exp2`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

# Largest |exponent of 2| for which probabilities are summed without looking for the largest logit
# first: exp2 and the sum stay far from float's limits, and fp16 keeps normal numbers.
MOST_EXPONENT = {torch.float16: 14.0, torch.bfloat16: 60.0, torch.float32: 60.0}

MOST_HEAD_DIM = 128


# `AttentionWeights` as arguments of a PyTorch operation.
SCHEMA = (
    "Tensor qkv, Tensor proj, Tensor scale, Tensor? position, Tensor? qkv_bias, Tensor? proj_bias,"
    " int channels, int heads, int head_dim, int window, bool normalised, bool relu, bool bounded"
)


class AttentionWeights(NamedTuple):
    """C' = channels rounded up to 32, D = head_dim rounded up to a power of two; padding is 0."""

    qkv: Tensor  # (C', 3·heads·D): columns q of every head, then k, then v
    proj: Tensor  # (heads·D, C')
    scale: Tensor  # (2·heads,) fp32: τ log₂e / √d for q̂, 1 for k̂
    position: Tensor | None  # (window², C'), added to the pixels of a window
    qkv_bias: Tensor | None  # (3·heads·D,) fp32
    proj_bias: Tensor | None  # (C',) fp32
    channels: int
    heads: int
    head_dim: int
    window: int  # side; 0 for attention over the whole picture
    normalised: bool  # q and k divided by their root mean square
    relu: bool  # on the scores, before the softmax
    bounded: bool  # exponentials may be summed without the largest logit

    @property
    def depth(self) -> int:
        """C'."""
        return self.proj.shape[1]

    @property
    def head_columns(self) -> int:
        """D."""
        return self.proj.shape[0] // self.heads


@triton.jit
def inverse_rms(x, head_dim, AXIS: tl.constexpr):
    """1 / rms(x) along AXIS, which may hold zeros beyond head_dim."""
    return tl.rsqrt(tl.sum(x * x, axis=AXIS) / head_dim + 1e-6)


def pack_attention(
    q: Tensor,
    kv: Tensor,
    proj: Tensor,
    temperature: Tensor,
    position: Tensor | None,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> AttentionWeights:
    """Weights of `models.blocks.AttentionBlock`: q (C, C), kv (2C, C), proj (C, C), τ (heads,).

    position: (window², C), or None for attention over the whole picture.

    Raises:
        ValueError: head_dim is above 128.
    """
    channels, heads = q.shape[1], len(temperature)
    head_dim = channels // heads
    log2e = math.log2(math.e)
    scale = temperature.detach().float() * (log2e / math.sqrt(head_dim))
    most = float(temperature.detach().abs().max()) * math.sqrt(head_dim) * log2e
    return AttentionWeights(
        qkv=_columns(torch.cat([q, kv]), head_dim).to(device, dtype),
        proj=_columns(proj.T, head_dim, transposed=True).to(device, dtype),
        scale=torch.cat([scale, torch.ones_like(scale)]).to(device),
        position=None if position is None else _wide(position).to(device, dtype),
        qkv_bias=None,
        proj_bias=None,
        channels=channels,
        heads=heads,
        head_dim=head_dim,
        window=0 if position is None else math.isqrt(len(position)),
        normalised=True,
        relu=False,
        bounded=most < MOST_EXPONENT[dtype],
    )


def pack_listing(
    q: tuple[Tensor, Tensor],
    k: tuple[Tensor, Tensor],
    v: tuple[Tensor, Tensor],
    out: tuple[Tensor, Tensor],
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> AttentionWeights:
    """Weights and biases of `models.listing.SelfAttention`, each (d, d) and (d,), one head.

    Raises:
        ValueError: d is above 128.
    """
    channels = q[0].shape[0]
    scale = math.log2(math.e) / math.sqrt(channels)  # goes through the ReLU unchanged
    weight = torch.cat([q[0] * scale, k[0], v[0]])
    bias = torch.cat([q[1] * scale, k[1], v[1]])
    return AttentionWeights(
        qkv=_columns(weight, channels).to(device, dtype),
        proj=_columns(out[0].T, channels, transposed=True).to(device, dtype),
        scale=torch.ones(2, device=device),
        position=None,
        qkv_bias=_columns(bias[:, None], channels)[0].to(device, torch.float32),
        proj_bias=_wide(out[1][None])[0].to(device, torch.float32),
        channels=channels,
        heads=1,
        head_dim=channels,
        window=0,
        normalised=False,
        relu=True,
        bounded=False,
    )


def _wide(x: Tensor) -> Tensor:
    """(rows, C) → (rows, C')."""
    return torch.nn.functional.pad(x.detach(), (0, -x.shape[1] % 32)).contiguous()


def _columns(weight: Tensor, head_dim: int, transposed: bool = False) -> Tensor:
    """(n·d, C), a row per channel of every head → (C', n·D), or (n·D, C') if transposed."""
    if head_dim > MOST_HEAD_DIM:
        raise ValueError(
            f"head_dim is {head_dim}; the kernels take up to {MOST_HEAD_DIM}: run this block on "
            "the reference"
        )
    columns = max(16, triton.next_power_of_2(head_dim))
    heads = _wide(weight).unflatten(0, (-1, head_dim))  # (n, d, C')
    rows = torch.nn.functional.pad(heads, (0, 0, 0, columns - head_dim)).flatten(0, 1)
    return rows.contiguous() if transposed else rows.T.contiguous()
