"""The blocks that the generator is made of, in PyTorch, written to be read.

Activations are (N, C, H, W) in `channels_last` memory, so the NHWC views that attention
takes cost nothing. No block normalises its input: norms cost time and, measured on this
family, quality.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Queries (B, Q, C), keys (B, K, C) and mask (B, 1, 1, K) or None → (B, Q, C).
Attend = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class ConvBlock(nn.Module):
    """x + SiLU(conv3x3(x) + b). (N, C, H, W) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.silu(self.conv(x))


@dataclass(frozen=True)
class Windows:
    """How a picture is cut into windows of `side` × `side` pixels, the first at -shift."""

    side: int
    shift: int

    def padding(self, h: int, w: int) -> tuple[int, int, int, int]:
        """Left, right, top, bottom pixels that complete the windows around an h×w picture."""
        return self.shift, -(w + self.shift) % self.side, self.shift, -(h + self.shift) % self.side

    def partition(self, x: Tensor) -> Tensor:
        """(N, H, W, C) → (N·windows, side², C), zeros outside the picture."""
        side = self.side
        x = F.pad(x, (0, 0, *self.padding(*x.shape[1:3])))
        n, h, w, c = x.shape
        x = x.view(n, h // side, side, w // side, side, c)
        return x.transpose(2, 3).reshape(-1, side * side, c)

    def merge(self, x: Tensor, n: int, h: int, w: int) -> Tensor:
        """The inverse of `partition`: (N·windows, side², C) → (N, H, W, C)."""
        side = self.side
        left, right, top, bottom = self.padding(h, w)
        rows, cols = (top + h + bottom) // side, (left + w + right) // side
        x = x.view(n, rows, cols, side, side, -1).transpose(2, 3)
        x = x.reshape(n, rows * side, cols * side, -1)
        return x[:, top : top + h, left : left + w]

    def mask(self, n: int, h: int, w: int, device: torch.device) -> Tensor | None:
        """(N·windows, 1, 1, side²): -inf for keys outside the picture; None if all are inside."""
        if not any(self.padding(h, w)):
            return None
        inside = self.partition(torch.ones(1, h, w, 1, device=device))
        mask = torch.zeros_like(inside).masked_fill(inside == 0, float("-inf"))
        return mask.view(-1, 1, 1, self.side**2).repeat(n, 1, 1, 1)


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
        if not self.window:
            return x + over_picture(x, context, self.attend)
        windows = Windows(self.window, self.shift)
        return x + within_windows(x, context, self.position, windows, self.attend)

    def attend(self, queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """Multi-head attention: (B, Q, C), (B, K, C), mask (B, 1, 1, K) or None → (B, Q, C)."""
        q = self.q(queries).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        return self.proj(attended(q, self.kv(keys), self.temperature, mask))


def over_picture(x: Tensor, context: Tensor | None, attend: Attend) -> Tensor:
    """What each pixel of x (N, C, H, W) attends to: all of x, or of the context."""
    n, c, h, w = x.shape
    queries = keys = x.flatten(2).transpose(1, 2)  # (N, H·W, C)
    if context is not None:
        keys = context if context.ndim == 3 else context.flatten(2).transpose(1, 2)
    return attend(queries, keys, None).view(n, h, w, c).permute(0, 3, 1, 2)


def within_windows(
    x: Tensor, context: Tensor | None, position: Tensor, windows: Windows, attend: Attend
) -> Tensor:
    """What each pixel of x (N, C, H, W) attends to: its window of x, or of the context."""
    n, _, h, w = x.shape
    queries = keys = windows.partition(x.permute(0, 2, 3, 1)) + position  # (N·windows, win², C)
    if context is not None:
        keys = windows.partition(context.permute(0, 2, 3, 1)) + position
    out = attend(queries, keys, windows.mask(n, h, w, x.device))
    return windows.merge(out, n, h, w).permute(0, 3, 1, 2)


def attended(q: Tensor, kv: Tensor, temperature: Tensor, mask: Tensor | None) -> Tensor:
    """Queries (B, heads, Q, d), keys beside values (B, K, 2 · heads · d) → (B, Q, heads · d)."""
    k, v = kv.unflatten(-1, (2, -1, q.shape[-1])).permute(2, 0, 3, 1, 4)  # (B, heads, K, d)
    out = probabilities(q, k, temperature, mask).to(v.dtype) @ v  # (B, heads, Q, d)
    return out.transpose(1, 2).flatten(2)


def probabilities(q: Tensor, k: Tensor, temperature: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(τ q̂ k̂ᵀ / √d + mask): (B, heads, Q, d), (B, heads, K, d) → (B, heads, Q, K)."""
    scale = temperature.view(-1, 1, 1) * q.shape[-1] ** -0.5
    logits = (scale * rms_norm(q)) @ rms_norm(k).transpose(-1, -2)
    return (logits if mask is None else logits + mask).softmax(-1)


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
