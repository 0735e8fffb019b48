"""The blocks that the generator is made of, in PyTorch, written to be read.

Activations are (N, C, H, W) in `channels_last` memory, so the NHWC views that attention
takes cost nothing. No block normalises its input: norms cost time and, measured on this
family, quality (DESIGN: "which family learns").
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """x + SiLU(conv3x3(x) + b). (N, C, H, W) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.silu(self.conv(x))


class AttentionBlock(nn.Module):
    """x + proj(softmax(τ q̂ k̂ᵀ / √d) v), within windows or over the whole level.

    q comes from x, k and v from the context: x itself (self-attention) or the encoder's
    output at this level (cross-attention). q̂ and k̂ are RMS-normalised per head, so a logit
    is at most τ √d whatever the input (QK-norm: Henry et al. 2020, arXiv:2010.04245).

    Args:
        channels: C; a multiple of head_dim.
        head_dim: d.
        window: side of a window in pixels; 0 for attention over the whole level.
        shift: windows start at -shift instead of 0; keys outside the picture are masked.
    """

    def __init__(self, channels: int, head_dim: int, window: int, shift: int) -> None:
        super().__init__()
        self.head_dim, self.window, self.shift = head_dim, window, shift
        self.q = nn.Linear(channels, channels, bias=False)
        self.kv = nn.Linear(channels, 2 * channels, bias=False)
        self.proj = nn.Linear(channels, channels, bias=False)
        self.temperature = nn.Parameter(torch.ones(channels // head_dim))
        if window:  # one learned embedding per cell of a window
            self.position = nn.Parameter(0.02 * torch.randn(window * window, channels))
        with torch.no_grad():
            self.proj.weight.mul_(0.1)  # the block starts near the identity

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x (N, C, H, W); context the same, or (N, T, C) tokens if window is 0."""
        n, c, h, w = x.shape
        tokens = x.permute(0, 2, 3, 1)  # (N, H, W, C)
        keys = tokens if context is None else context
        if context is not None and context.ndim == 4:
            keys = context.permute(0, 2, 3, 1)
        if not self.window:
            out = self.attend(tokens.reshape(n, h * w, c), keys.reshape(n, -1, c), None)
            return x + out.view(n, h, w, c).permute(0, 3, 1, 2)
        queries = self.partition(tokens) + self.position  # (N·windows, win², C)
        keys = queries if context is None else self.partition(keys) + self.position
        out = self.attend(queries, keys, self.mask(n, h, w, x.device))
        return x + self.merge(out, n, h, w).permute(0, 3, 1, 2)

    def attend(self, queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """Multi-head attention: (B, Q, C), (B, K, C), mask (B, 1, 1, K) or None → (B, Q, C)."""
        d = self.head_dim
        q = self.q(queries).unflatten(-1, (-1, d)).transpose(1, 2)  # (B, heads, Q, d)
        k, v = self.kv(keys).unflatten(-1, (2, -1, d)).permute(2, 0, 3, 1, 4)  # (B, heads, K, d)
        scale = self.temperature.view(-1, 1, 1) * d**-0.5
        logits = (scale * rms_norm(q)) @ rms_norm(k).transpose(-1, -2)  # (B, heads, Q, K)
        if mask is not None:
            logits = logits + mask
        out = logits.softmax(-1).to(v.dtype) @ v  # (B, heads, Q, d)
        return self.proj(out.transpose(1, 2).flatten(2))

    def padding(self, h: int, w: int) -> tuple[int, int, int, int]:
        """Left, right, top, bottom pixels that complete the windows around an h×w picture."""
        s, win = self.shift, self.window
        return s, -(w + s) % win, s, -(h + s) % win

    def partition(self, x: Tensor) -> Tensor:
        """(N, H, W, C) → (N·windows, win², C), zeros outside the picture."""
        win = self.window
        x = F.pad(x, (0, 0, *self.padding(*x.shape[1:3])))
        n, h, w, c = x.shape
        x = x.view(n, h // win, win, w // win, win, c)
        return x.transpose(2, 3).reshape(-1, win * win, c)

    def merge(self, x: Tensor, n: int, h: int, w: int) -> Tensor:
        """The inverse of `partition`: (N·windows, win², C) → (N, H, W, C)."""
        win = self.window
        left, right, top, bottom = self.padding(h, w)
        rows, cols = (top + h + bottom) // win, (left + w + right) // win
        x = x.view(n, rows, cols, win, win, -1).transpose(2, 3)
        x = x.reshape(n, rows * win, cols * win, -1)
        return x[:, top : top + h, left : left + w]

    def mask(self, n: int, h: int, w: int, device: torch.device) -> Tensor | None:
        """(N·windows, 1, 1, win²): -inf for keys outside the picture; None if all are inside."""
        if not any(self.padding(h, w)):
            return None
        inside = self.partition(torch.ones(1, h, w, 1, device=device))
        mask = torch.zeros_like(inside).masked_fill(inside == 0, float("-inf"))
        return mask.view(-1, 1, 1, self.window**2).repeat(n, 1, 1, 1)


def rms_norm(x: Tensor) -> Tensor:
    """x / rms(x) over the last axis."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class Down(nn.Module):
    """To the next coarser level: 2×2 convolution of stride 2.

    (N, C, H, W) → (N, C', ⌈H/2⌉, ⌈W/2⌉); an odd side is completed with one row of zeros.
    """

    def __init__(self, channels: int, coarser: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, coarser, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        return self.conv(F.pad(x, (0, w % 2, 0, h % 2)))


class Up(nn.Module):
    """To the next finer level: skip + 2×2 transposed convolution, cropped to the skip's size.

    (N, C', ⌈H/2⌉, ⌈W/2⌉), skip (N, C, H, W) → (N, C, H, W). Starts small, so that training
    begins at the finest level and takes the coarse ones in as they become useful.
    """

    def __init__(self, coarser: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(coarser, channels, 2, stride=2)
        with torch.no_grad():
            self.conv.weight.mul_(0.1)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = self.conv(x)
        if skip is None:
            return x
        h, w = skip.shape[2:]
        return skip + x[:, :, :h, :w]


class Head(nn.Module):
    """Features to a picture: base + pixel_shuffle(conv3x3(x)), the base being repeated pixels.

    (N, C, H, W), base (N, 3, H, W) → (N, 3, s·H, s·W). Starts at the base alone. The base is
    the nearest-neighbour enlargement: it costs a broadcast, every runtime agrees on it, and
    the convolutions learn the interpolation in the first steps.
    """

    def __init__(self, channels: int, scale: int, image_channels: int) -> None:
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(channels, image_channels * scale**2, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.mul_(0.1)
            self.conv.get_parameter("bias").zero_()

    def forward(self, x: Tensor, base: Tensor | None) -> Tensor:
        x = self.conv(x)
        if base is not None:  # the same value for each of a pixel's s² places
            x = x + base.repeat_interleave(self.scale**2, dim=1)
        return F.pixel_shuffle(x, self.scale)
