"""The article's own generator and discriminator, taken literally.

Two forms stand here side by side, because the article gives both and they differ:

- its code listing, which is what the preset `listing` builds: plain stacks of `SelfAttention`
  with a ReLU before the softmax and no residual and no norm (`ListingGenerator`,
  `ListingDiscriminator`);
- its equations: `EncoderLayer` and `DecoderLayer`, and the two losses.

The article works one numeric example by hand and leaves the softmax out of it; the softmax
here is the real one, so its figures are not reproduced.

A picture's place is taken by x (..., N, d_model), any real range: attention is among the N
rows. Leading axes are a batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagen_fast.errors import SpecError
from imagen_fast.spec import ModelSpec


class SelfAttention(nn.Module):
    """out(softmax(relu(q kᵀ / √d)) v), with d = d_model. (..., N, d_model) → same."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.q = nn.Linear(d_model, d_model)
        self.k = nn.Linear(d_model, d_model)
        self.v = nn.Linear(d_model, d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)  # each (..., N, d)
        scores = F.relu(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5)  # (..., N, N)
        return self.out(scores.softmax(-1) @ v)


class ListingGenerator(nn.Module):
    """Decoder∘Encoder, each a stack of `levels[0].depth` self-attentions (the article has 2).

    (..., N, d_model) → same, d_model being `levels[0].channels`.

    Raises:
        SpecError: the spec is not of the architecture `listing`.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        if spec.architecture != "listing":
            raise SpecError(f"ListingGenerator builds 'listing' specs, not {spec.architecture!r}")
        self.spec = spec
        level = spec.levels[0]
        self.encoder = nn.Sequential(*(SelfAttention(level.channels) for _ in range(level.depth)))
        self.decoder = nn.Sequential(*(SelfAttention(level.channels) for _ in range(level.depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class ListingDiscriminator(nn.Module):
    """sigmoid(Linear(d_model, 1)): (..., d_model) → probability of being real (..., 1)."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.linear = nn.Linear(d_model, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.linear(x))


class MultiHead(nn.Module):
    """Concat(head_1 … head_h) W_o, head_i = softmax(q_i k_iᵀ / √d) v_i (Vaswani et al. 2017).

    Queries (..., N, d_model), keys and values from context (..., M, d_model) → (..., N, d_model).
    d = d_model / heads.
    """

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        if d_model % heads:
            raise SpecError(f"d_model is {d_model}; expected a multiple of heads {heads}")
        self.heads = heads
        self.q = nn.Linear(d_model, d_model, bias=False)
        self.k = nn.Linear(d_model, d_model, bias=False)
        self.v = nn.Linear(d_model, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:  # (..., N, d_model) → (..., heads, N, d)
            return y.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

        q, k, v = split(self.q(x)), split(self.k(context)), split(self.v(context))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        return self.out((weights @ v).transpose(-2, -3).flatten(-2))


class EncoderLayer(nn.Module):
    """LN(x) + LN(MultiHead(x)). (..., N, d_model) → same. One LN, as the equation has one."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.attention = MultiHead(d_model, heads)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) + self.norm(self.attention(x, x))


class DecoderLayer(nn.Module):
    """LN(x) + LN(CrossAttention(x, x)). (..., N, d_model) → same.

    As written, the cross-attention's context is x itself, so the layer computes what
    `EncoderLayer` computes; `context` puts an encoder's output (..., M, d_model) there.
    """

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.attention = MultiHead(d_model, heads)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.norm(x) + self.norm(self.attention(x, x if context is None else context))


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_D = -E[log D(x)] - E[log(1 - D(G(z)))] (Goodfellow et al. 2014, arXiv:1406.2661).

    real = D(x), fake = D(G(z)): probabilities in (0, 1), any shape. Infinite at 0 or 1; the
    trainer computes the same value from logits (`imagen_fast.training.adversarial_losses`).
    """
    return -real.log().mean() - (1 - fake).log().mean()


def generator_loss(fake: Tensor) -> Tensor:
    """L_G = -E[log D(G(z))], the form that does not saturate (same source). fake = D(G(z))."""
    return -fake.log().mean()
