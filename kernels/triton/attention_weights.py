"""An attention block's weights in the layout that the kernels read, and the normalisation.

q̂ = q / rms(q) and k̂ = k / rms(k) per head bound a logit by |τ| √d (Henry et al. 2020,
arXiv:2010.04245). τ, 1/√d and log₂e go into q̂, so that a probability is one `exp2`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import Array
from .step import Step

# Largest |exponent of 2| for which probabilities are summed without looking for the largest logit
# first: exp2 and the sum stay far from float's limits, and fp16 keeps normal numbers.
MOST_EXPONENT = {"fp16": 14.0, "bf16": 60.0, "fp32": 60.0}

MOST_HEAD_DIM = 128


@triton.jit
def inverse_rms(x, head_dim, AXIS: tl.constexpr):
    """1 / rms(x) along AXIS, which may hold zeros beyond head_dim."""
    return tl.rsqrt(tl.sum(x * x, axis=AXIS) / head_dim + 1e-6)


@dataclass(frozen=True)
class Attention:
    """An attention operation: its sizes, and packed tensors.

    C' = channels rounded up to 32, D = head_dim rounded up to a power of two; padding is 0.

    Attributes:
        packed: `qkv` (C', 3·heads·D), columns q of every head, then k, then v; `proj`
            (heads·D, C'); `factors` (2·heads,) fp32, τ log₂e / √d for q̂, 1 for k̂; of windows
            `position` (window², C'); of the listing `qkv_bias` and `proj_bias`, fp32.
        plain: the listing's: no norm, no residual, and a ReLU on the scores.
        bounded: exponentials may be summed without the largest logit.
    """

    packed: Mapping[str, Array]
    channels: int
    heads: int
    head_dim: int
    window: int  # side; 0 for attention over the whole picture
    shift: int
    plain: bool
    bounded: bool

    @property
    def depth(self) -> int:
        """C'."""
        return self.channels + -self.channels % 32

    @property
    def head_columns(self) -> int:
        """D."""
        return max(16, int(triton.next_power_of_2(self.head_dim)))

    @property
    def columns(self) -> int:
        """heads · D."""
        return self.heads * self.head_columns

    @property
    def label(self) -> str:
        """Tells forms of different weights apart."""
        parts = [f"c{self.channels}", f"d{self.head_dim}"]
        parts += [f"window{self.window}"] if self.window else []
        parts += ["plain"] if self.plain else [] if self.bounded else ["unbounded"]
        return "_".join(parts)


def attention_of(step: Step) -> Attention:
    """Of an operation of attention. Raises OperationError: a head is too wide."""
    a, tensors = step.settings, step.tensors
    channels, head_dim = len(tensors["q"]), a["head_dim"]
    if head_dim > MOST_HEAD_DIM:
        step.refuse(f"head_dim is {head_dim}; the kernels take up to {MOST_HEAD_DIM}")
    plain, bounded = a.get("plain", False), False
    if not plain:
        largest = float(tensors["temperature"].abs().max())
        bounded = largest * math.sqrt(head_dim) * math.log2(math.e) < MOST_EXPONENT[step.kind]
    return Attention(
        packed=step.pack(lambda: pack_plain(tensors) if plain else pack(tensors, head_dim)),
        channels=channels,
        heads=channels // head_dim,
        head_dim=head_dim,
        window=a.get("window", 0),
        shift=a.get("shift", 0),
        plain=plain,
        bounded=bounded,
    )


def pack(tensors: dict[str, Tensor], head_dim: int) -> dict[str, Tensor]:
    """q (C, C), kv (2C, C), temperature (heads,), proj (C, C) and position (window², C) if any."""
    scale = tensors["temperature"] * (math.log2(math.e) / math.sqrt(head_dim))
    packed = {
        "qkv": _columns(torch.cat([tensors["q"], tensors["kv"]]), head_dim),
        "factors": torch.cat([scale, torch.ones_like(scale)]),
    }
    if "proj" in tensors:
        packed["proj"] = _columns(tensors["proj"].T, head_dim, transposed=True)
    if "position" in tensors:
        packed["position"] = _wide(tensors["position"])
    return packed


def pack_plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """q, k, v and proj, each (C, C), and their biases (C,): one head."""
    channels = len(tensors["q"])
    scale = math.log2(math.e) / math.sqrt(channels)  # goes through the ReLU unchanged
    weight = torch.cat([tensors["q"] * scale, tensors["k"], tensors["v"]])
    bias = torch.cat([tensors["q_bias"] * scale, tensors["k_bias"], tensors["v_bias"]])
    return {
        "qkv": _columns(weight, channels),
        "proj": _columns(tensors["proj"].T, channels, transposed=True),
        "qkv_bias": _columns(bias[:, None], channels)[0],
        "proj_bias": _wide(tensors["proj_bias"][None])[0],
    }


def _wide(x: Tensor) -> Tensor:
    """(rows, C) → (rows, C')."""
    return torch.nn.functional.pad(x, (0, -x.shape[1] % 32))


def _columns(weight: Tensor, head_dim: int, transposed: bool = False) -> Tensor:
    """(n·d, C), a row per channel of every head → (C', n·D), or (n·D, C') if transposed."""
    columns = max(16, triton.next_power_of_2(head_dim))
    heads = _wide(weight).unflatten(0, (-1, head_dim))  # (n, d, C')
    rows = torch.nn.functional.pad(heads, (0, 0, 0, columns - head_dim)).flatten(0, 1)
    return rows if transposed else rows.T
