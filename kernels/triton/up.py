"""To the next finer level: skip + a 2×2 transposed convolution of stride 2, as one matrix product.

Each coarse pixel gives four fine ones, which do not overlap: its row times a matrix of 4 · C
columns, (dy, dx, channel), of which 2 · C stand side by side in the result.
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
from .down import PAIRS
from .variant import Variant, variant_of


@triton.jit(do_not_specialize=["pixels", "coarse_height", "coarse_width", "height", "width"])
def up_kernel(
    x,  # (N, coarse_height, coarse_width, COARSER)
    weight,  # (COARSER', COLUMNS): in, (dy, dx, out); zeros beyond COARSER and 4 · C
    bias,  # (COLUMNS,) fp32, four times the same
    skip,  # (N, height, width, C), or None
    out,  # (N, height, width, C)
    pixels,  # of x
    coarse_height,
    coarse_width,
    height,
    width,
    COARSER: tl.constexpr,
    COARSER_PADDED: tl.constexpr,
    C: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
):
    """A program: BLOCK_M coarse pixels, over the ends of rows and images, BLOCK_N columns."""
    BLOCKS: tl.constexpr = COLUMNS // BLOCK_N
    m = tl.program_id(0) // BLOCKS * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, BLOCK_K)
    inside = m < pixels
    start = m.to(tl.int64)[:, None] * COARSER
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in tl.range(0, COARSER_PADDED, BLOCK_K, num_stages=STAGES):
        mask = inside[:, None]
        if COARSER != COARSER_PADDED:
            mask = mask & (first + k < COARSER)[None, :]
        a = tl.load(x + start + (first + k)[None, :], mask=mask, other=0)  # (M, K)
        b = tl.load(weight + (first + k)[:, None] * COLUMNS + n[None, :])
        sums = tl.dot(a, b, sums, input_precision=PRECISION)
    sums += tl.load(bias + n)[None, :]
    dy = n // C // 2
    dx = n // C % 2
    row = m // coarse_width  # of all images
    y = row % coarse_height * 2
    z = m % coarse_width * 2
    mask = inside[:, None] & (y[:, None] + dy[None, :] < height)  # an odd side is cropped
    mask &= z[:, None] + dx[None, :] < width
    if COLUMNS != 4 * C:
        mask &= (n < 4 * C)[None, :]
    fine = ((row // coarse_height).to(tl.int64) * height + y) * width + z
    place = fine[:, None] * C + (dy * width + dx)[None, :] * C + (n % C)[None, :]
    if skip is not None:
        sums += tl.load(skip + place, mask=mask, other=0).to(tl.float32)
    tl.store(out + place, sums.to(out.dtype.element_ty), mask=mask)


class UpWeights(NamedTuple):
    """Packed weights.

    Attributes:
        matrix: (coarser', columns): input channel, (dy, dx, output channel); 4 · C columns and the
            input channels are rounded up for whole blocks, with zeros.
        bias: (columns,) fp32: of each column's channel.
        coarser: channels of the input.
        channels: C.
    """

    matrix: Tensor
    bias: Tensor
    coarser: int
    channels: int


def pack_up(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, device: torch.device | str
) -> UpWeights:
    """`Up.conv`'s weight (C', C, 2, 2), which is transposed, and bias (C,), packed."""
    coarser, c = weight.shape[:2]
    more = padded(4 * c, 64) - 4 * c
    matrix = weight.permute(0, 2, 3, 1).flatten(1)  # (C', 4 · C)
    matrix = F.pad(matrix, (0, more, 0, padded(coarser) - coarser))
    return UpWeights(
        matrix=matrix.to(device, dtype).contiguous(),
        bias=F.pad(bias.repeat(4), (0, more)).to(device, torch.float32).contiguous(),
        coarser=coarser,
        channels=c,
    )


def default_config(weights: UpWeights, arch: int) -> dict[str, int]:
    """See `product_blocks`; the same for every sm_`arch`."""
    inner, columns = weights.matrix.shape
    return product_blocks(inner, columns, weights.matrix.dtype)


def up(
    x: Tensor,
    weights: UpWeights,
    skip: Tensor | None = None,
    *,
    out: Tensor | None = None,
    config: Mapping[str, int] | None = None,
) -> Tensor:
    """skip + conv_transpose2x2(x) of stride 2, cropped to the skip, + b.

    Args:
        x: (N, h, w, C'), contiguous, of the weights' dtype.
        weights: from `pack_up`.
        skip: (N, H, W, C), contiguous, with h = ⌈H/2⌉ and w = ⌈W/2⌉; without it H = 2h, W = 2w.
        out: where to write, sharing no memory with an input; allocated if None.
        config: overrides of `default_config`.

    Returns:
        (N, H, W, C); `out` if given.
    """
    n, h, w, _ = x.shape
    height, width = (2 * h, 2 * w) if skip is None else skip.shape[1:3]
    if out is None:
        out = x.new_empty(n, height, width, weights.channels)
    chosen = default_config(weights, architecture(x.device)) | dict(config or {})
    constants = kernel_constants(weights, chosen)
    blocks = triton.cdiv(n * h * w, chosen["block_m"])
    up_kernel[(blocks * (constants["COLUMNS"] // chosen["block_n"]),)](
        x, weights.matrix, weights.bias, skip, out, n * h * w, h, w, height, width, **constants,
        num_warps=chosen["num_warps"], num_stages=chosen["num_stages"], enable_fp_fusion=True,
    )  # fmt: skip
    return out


def kernel_constants(weights: UpWeights, config: Mapping[str, int]) -> dict[str, Any]:
    """The compile-time arguments of `up_kernel`, but for a skip that is None."""
    return {
        "COARSER": weights.coarser,
        "COARSER_PADDED": weights.matrix.shape[0],
        "C": weights.channels,
        "COLUMNS": weights.matrix.shape[1],
        "BLOCK_M": config["block_m"],
        "BLOCK_N": config["block_n"],
        "BLOCK_K": config["block_k"],
        "PRECISION": PRECISION[weights.matrix.dtype],
        "STAGES": config["num_stages"],
    }


def cost(n: int, h: int, w: int, c: int, coarser: int, item: int, *, skip: bool) -> tuple[int, int]:
    """Bytes that must cross device memory and FLOPs that must be done, giving (N, H, W, C)."""
    pixels = n * ((h + 1) // 2) * ((w + 1) // 2)
    weights = 4 * c * coarser
    moved = pixels * coarser + (1 + skip) * n * h * w * c + weights
    return item * moved + 4 * c, 2 * n * h * w * c * coarser


def variants(
    dtype: torch.dtype, arch: int, pairs: tuple[tuple[int, int], ...] = PAIRS
) -> Iterator[Variant]:
    """The compiled forms that the presets need on sm_`arch`, with a skip and (latents) without."""
    for c, coarser in pairs:
        weights = pack_up(torch.zeros(coarser, c, 2, 2), torch.zeros(c), dtype, "cpu")
        for skip in (True, False):
            yield variant(weights, default_config(weights, arch), skip=skip)


def variant(weights: UpWeights, config: Mapping[str, int], *, skip: bool) -> Variant:
    """The compiled form of a configuration."""
    dtype = weights.matrix.dtype
    kind = f"*{DTYPES[dtype]}"
    pointers = {"x": kind, "weight": kind, "bias": "*fp32", "out": kind}
    constants = kernel_constants(weights, config)
    if skip:
        pointers["skip"] = kind
    else:
        constants["skip"] = None
    name = f"up_c{weights.coarser}_c{weights.channels}{'_skip' * skip}_{DTYPES[dtype]}"
    return variant_of(up_kernel, name, pointers, constants, config, wgmma=dtype != torch.float32)
