"""The stem: a picture's samples to features by a 3×3 convolution, zeros around the picture.

One matrix product a tile of pixels: a pixel's row holds its 9 · channels neighbouring samples.
Bytes enter the product as they are, exact in 16 bits, and the sums are divided by 255.
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

from .device import DTYPES, PRECISION, architecture, padded
from .variant import Variant, variant_of

MOST_COLUMNS = 128  # output channels of a program


@triton.jit(do_not_specialize=["pixels", "height", "width"])
def stem_kernel(
    image,  # (N, height, width, IMAGE_C), uint8 or fp32
    weight,  # (K, C'), zeros beyond 9 · IMAGE_C and beyond C
    bias,  # (C',) fp32
    out,  # (N, height, width, C)
    pixels,  # N · height · width
    height,
    width,
    IMAGE_C: tl.constexpr,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    K: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """A program: BLOCK_M pixels in a row's order, over the ends of rows and images."""
    BLOCKS: tl.constexpr = C_PADDED // BLOCK_N
    first = tl.program_id(0) // BLOCKS * BLOCK_M
    m = tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    k = tl.arange(0, K)
    dy = (k // IMAGE_C // 3 - 1)[None, :]
    dx = (k // IMAGE_C % 3 - 1)[None, :]
    inside = first + m < pixels
    y = ((first + m) // width % height)[:, None] + dy  # (M, K)
    z = ((first + m) % width)[:, None] + dx
    mask = inside[:, None] & (k < 9 * IMAGE_C)[None, :]
    mask &= (y >= 0) & (y < height) & (z >= 0) & (z < width)
    at = (m[:, None] + dy * width + dx) * IMAGE_C + (k % IMAGE_C)[None, :]
    a = tl.load(image + first.to(tl.int64) * IMAGE_C + at, mask=mask, other=0)
    b = tl.load(weight + k[:, None] * C_PADDED + n[None, :])
    sums = tl.dot(a.to(b.dtype), b, input_precision=PRECISION)  # (M, N)
    if image.dtype.element_ty == tl.uint8:
        sums *= 1 / 255
    sums += tl.load(bias + n)[None, :]
    mask = inside[:, None] & (n < C)[None, :]
    place = m[:, None] * C + n[None, :]
    tl.store(out + first.to(tl.int64) * C + place, sums.to(out.dtype.element_ty), mask=mask)


class StemWeights(NamedTuple):
    """Packed weights.

    Attributes:
        matrix: (K, C'): (tap, image channel), output channel; K is 9 · image channels rounded up to
            a power of two, C' is C rounded up for whole blocks.
        bias: (C',) fp32.
        channels: C.
        image_channels: 1 to 4.
    """

    matrix: Tensor
    bias: Tensor
    channels: int
    image_channels: int


def pack_stem(
    weight: Tensor, bias: Tensor, dtype: torch.dtype, device: torch.device | str
) -> StemWeights:
    """The weight (C, image channels, 3, 3) and bias (C,) of `Encoder.stem`, packed."""
    c, image_c = weight.shape[:2]
    matrix = weight.permute(2, 3, 1, 0).reshape(9 * image_c, c)
    more = padded(c, MOST_COLUMNS) - c
    rows = triton.next_power_of_2(9 * image_c)
    return StemWeights(
        matrix=F.pad(matrix, (0, more, 0, rows - len(matrix))).to(device, dtype).contiguous(),
        bias=F.pad(bias, (0, more)).to(device, torch.float32).contiguous(),
        channels=c,
        image_channels=image_c,
    )


def default_config(channels: int, dtype: torch.dtype, arch: int) -> dict[str, int]:
    """Block sizes that compile without spills for sm_`arch`; chosen on arithmetic, not measured."""
    block_n = min(padded(channels, MOST_COLUMNS), MOST_COLUMNS)
    block_m = 64 if dtype == torch.float32 else 128
    num_warps = 8 if block_m * block_n > 128 * 64 else 4
    return {"block_m": block_m, "block_n": block_n, "num_warps": num_warps, "num_stages": 1}


def stem(
    image: Tensor,
    weights: StemWeights,
    *,
    out: Tensor | None = None,
    config: Mapping[str, int] | None = None,
) -> Tensor:
    """conv3x3(image) + b.

    Args:
        image: (N, H, W, image channels), contiguous: float32, or uint8, which is divided by 255.
        weights: from `pack_stem`.
        out: where to write; allocated if None.
        config: overrides of `default_config`.

    Returns:
        (N, H, W, C) of the weights' dtype; `out` if given.
    """
    n, h, w, _ = image.shape
    dtype = weights.matrix.dtype
    if out is None:
        out = torch.empty(n, h, w, weights.channels, dtype=dtype, device=image.device)
    chosen = default_config(weights.channels, dtype, architecture(image.device))
    chosen |= dict(config or {})
    constants = kernel_constants(weights, chosen)
    blocks = triton.cdiv(n * h * w, chosen["block_m"])
    stem_kernel[(blocks * (constants["C_PADDED"] // chosen["block_n"]),)](
        image, weights.matrix, weights.bias, out, n * h * w, h, w, **constants,
        num_warps=chosen["num_warps"], num_stages=chosen["num_stages"], enable_fp_fusion=True,
    )  # fmt: skip
    return out


def kernel_constants(weights: StemWeights, config: Mapping[str, int]) -> dict[str, Any]:
    """The compile-time arguments of `stem_kernel`."""
    return {
        "IMAGE_C": weights.image_channels,
        "C": weights.channels,
        "C_PADDED": weights.matrix.shape[1],
        "K": weights.matrix.shape[0],
        "BLOCK_M": config["block_m"],
        "BLOCK_N": config["block_n"],
        "PRECISION": PRECISION[weights.matrix.dtype],
    }


def cost(
    n: int, h: int, w: int, c: int, image_channels: int, image_item: int, item: int
) -> tuple[int, int]:
    """Bytes that must cross device memory and FLOPs that must be done.

    image_item, item: bytes of a sample and of a feature.
    """
    pixels, weights = n * h * w, 9 * image_channels * c
    moved = pixels * (image_channels * image_item + c * item) + weights * item + 4 * c
    return moved, 2 * pixels * weights


def variants(
    dtype: torch.dtype, arch: int, channels: tuple[int, ...] = (64, 128), image_channels: int = 3
) -> Iterator[Variant]:
    """The compiled forms that the presets need on sm_`arch`, for bytes and for floats."""
    for c in channels:
        weights = pack_stem(torch.zeros(c, image_channels, 3, 3), torch.zeros(c), dtype, "cpu")
        for sample in ("u8", "fp32"):
            yield variant(weights, sample, default_config(c, dtype, arch))


def variant(weights: StemWeights, sample: str, config: Mapping[str, int]) -> Variant:
    """The compiled form for an image of `sample`: u8 or fp32."""
    dtype = weights.matrix.dtype
    kind = f"*{DTYPES[dtype]}"
    return variant_of(
        stem_kernel,
        f"stem_c{weights.channels}_i{weights.image_channels}_{sample}_{DTYPES[dtype]}",
        {"image": f"*{sample}", "weight": kind, "bias": "*fp32", "out": kind},
        kernel_constants(weights, config),
        config,
        wgmma=dtype != torch.float32,
    )
