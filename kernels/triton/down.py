"""To the next coarser level: a 2×2 convolution of stride 2, as one matrix product.

A coarse pixel's row holds four fine pixels of C channels. An odd last row or column is completed
with zeros by the mask.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .device import DTYPES, PRECISION, architecture, padded, product_blocks
from .variant import Variant, variant_of


@triton.jit(do_not_specialize=["pixels", "height", "width"])
def down_kernel(
    x,  # (N, height, width, C)
    weight,  # (4 · C', COARSER'): (tap, in), out; zeros beyond C and COARSER
    bias,  # (COARSER',) fp32
    out,  # (N, ⌈height / 2⌉, ⌈width / 2⌉, COARSER)
    pixels,  # of out
    height,
    width,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    COARSER: tl.constexpr,
    COARSER_PADDED: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
):
    """A program: BLOCK_M coarse pixels, over the ends of rows and images, BLOCK_N channels."""
    BLOCKS: tl.constexpr = COARSER_PADDED // BLOCK_N
    STEPS: tl.constexpr = C_PADDED // BLOCK_K
    m = tl.program_id(0) // BLOCKS * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    coarse_height = (height + 1) // 2
    coarse_width = (width + 1) // 2
    inside = m < pixels
    row = m // coarse_width  # of all images
    y = row % coarse_height * 2
    z = m % coarse_width * 2
    start = ((row // coarse_height).to(tl.int64) * height + y) * width + z  # the first fine pixel
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for step in tl.range(4 * STEPS, num_stages=STAGES):
        dy = step // STEPS // 2
        dx = step // STEPS % 2
        channel = step % STEPS * BLOCK_K + k
        mask = (inside & (y + dy < height) & (z + dx < width))[:, None]
        if C != C_PADDED:
            mask = mask & (channel < C)[None, :]
        place = (start + dy * width + dx)[:, None] * C + channel[None, :]
        a = tl.load(x + place, mask=mask, other=0)  # (M, K)
        b = tl.load(weight + (step * BLOCK_K + k)[:, None] * COARSER_PADDED + n[None, :])
        sums = tl.dot(a, b, sums, input_precision=PRECISION)
    sums += tl.load(bias + n)[None, :]
    mask = inside[:, None] & (n < COARSER)[None, :]
    place = m.to(tl.int64)[:, None] * COARSER + n[None, :]
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=mask)


class DownWeights(NamedTuple):
    """Packed weights.

    Attributes:
        matrix: (4 · C', coarser'): (tap, input channel), output channel; C' and coarser' are
            rounded up for whole blocks, with zeros.
        bias: (coarser',) fp32.
        channels: C.
        coarser: channels of the result.
    """

    matrix: Tensor
    bias: Tensor
    channels: int
    coarser: int


def pack_down(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, device: torch.device | str
) -> DownWeights:
    """`Down.conv`'s weight (C', C, 2, 2) and bias (C',), packed."""
    coarser, c = weight.shape[:2]
    more = padded(coarser, 64) - coarser
    taps = weight.permute(2, 3, 1, 0)  # (2, 2, C, C')
    matrix = F.pad(taps, (0, more, 0, padded(c) - c)).flatten(0, 2)
    return DownWeights(
        matrix=matrix.to(device, dtype).contiguous(),
        bias=F.pad(bias, (0, more)).to(device, torch.float32).contiguous(),
        channels=c,
        coarser=coarser,
    )


def default_config(weights: DownWeights, arch: int) -> dict[str, int]:
    """See `product_blocks`; the same for every sm_`arch`."""
    inner, columns = weights.matrix.shape
    return product_blocks(inner // 4, columns, weights.matrix.dtype)


def down(
    x: Tensor,
    weights: DownWeights,
    *,
    out: Tensor | None = None,
    config: Mapping[str, int] | None = None,
) -> Tensor:
    """conv2x2(x) of stride 2, + b.

    Args:
        x: (N, H, W, C), contiguous, of the weights' dtype.
        weights: from `pack_down`.
        out: where to write; allocated if None.
        config: overrides of `default_config`.

    Returns:
        (N, ⌈H/2⌉, ⌈W/2⌉, C'); `out` if given.
    """
    n, h, w, _ = x.shape
    if out is None:
        out = x.new_empty(n, (h + 1) // 2, (w + 1) // 2, weights.coarser)
    chosen = default_config(weights, architecture(x.device)) | dict(config or {})
    constants = kernel_constants(weights, chosen)
    pixels = n * out.shape[1] * out.shape[2]
    blocks = triton.cdiv(pixels, chosen["block_m"])
    down_kernel[(blocks * (constants["COARSER_PADDED"] // chosen["block_n"]),)](
        x, weights.matrix, weights.bias, out, pixels, h, w, **constants,
        num_warps=chosen["num_warps"], num_stages=chosen["num_stages"], enable_fp_fusion=True,
    )  # fmt: skip
    return out


def kernel_constants(weights: DownWeights, config: Mapping[str, int]) -> dict[str, Any]:
    """The compile-time arguments of `down_kernel`."""
    return {
        "C": weights.channels,
        "C_PADDED": weights.matrix.shape[0] // 4,
        "COARSER": weights.coarser,
        "COARSER_PADDED": weights.matrix.shape[1],
        "BLOCK_M": config["block_m"],
        "BLOCK_N": config["block_n"],
        "BLOCK_K": config["block_k"],
        "PRECISION": PRECISION[weights.matrix.dtype],
        "STAGES": config["num_stages"],
    }


def cost(n: int, h: int, w: int, c: int, coarser: int, item: int) -> tuple[int, int]:
    """Bytes that must cross device memory and FLOPs that must be done, of (N, H, W, C)."""
    pixels = n * ((h + 1) // 2) * ((w + 1) // 2)
    weights = 4 * c * coarser
    return item * (n * h * w * c + pixels * coarser + weights) + 4 * coarser, 2 * pixels * weights


PAIRS = ((64, 96), (96, 128), (128, 192), (192, 256))  # neighbouring levels of the presets


def variants(
    dtype: torch.dtype, arch: int, pairs: tuple[tuple[int, int], ...] = PAIRS
) -> Iterator[Variant]:
    """The compiled forms that the presets need on sm_`arch`."""
    for c, coarser in pairs:
        weights = pack_down(torch.zeros(coarser, c, 2, 2), torch.zeros(coarser), dtype, "cpu")
        yield variant(weights, default_config(weights, arch))


def variant(weights: DownWeights, config: Mapping[str, int]) -> Variant:
    """The compiled form of a configuration."""
    dtype = weights.matrix.dtype
    kind = f"*{DTYPES[dtype]}"
    return variant_of(
        down_kernel,
        f"down_c{weights.channels}_c{weights.coarser}_{DTYPES[dtype]}",
        {"x": kind, "weight": kind, "bias": "*fp32", "out": kind},
        kernel_constants(weights, config),
        config,
        wgmma=dtype != torch.float32,
    )
