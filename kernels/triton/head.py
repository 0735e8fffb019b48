"""Features to a picture: clamp(repeated image + pixel_shuffle(conv3x3(x) + b)), bytes or floats.

The convolution is the block's, in the same two forms (see `conv_block`), with few columns: one a
sample of a pixel's s × s places. Columns are in the picture's order, (dy, dx, channel), so that
the shuffle is where a sum is stored.
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

from .conv3x3 import add_row, load_tap, load_taps, rows_of_run
from .device import DTYPES, PRECISION, architecture, largest_block, multiprocessors, padded
from .variant import Variant, variant_of


@triton.jit
def finish(
    sums,  # (M, COLUMNS), without bias
    bias,
    image,  # points at the tile's first pixel, or None
    out,  # points at the tile's first place
    not_finite,
    row,
    col,  # (M,) the pixels, from the tile's first
    inside,  # (M,) whether they are in the picture
    width,
    IMAGE_C: tl.constexpr,
    SCALE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Bias, base, check, clamp, shuffle and store of a tile's sums."""
    ACROSS: tl.constexpr = SCALE * IMAGE_C  # samples of a pixel in one row of the picture
    n = tl.arange(0, COLUMNS)
    mask = inside[:, None] & (n < SCALE * ACROSS)[None, :]
    value = sums + tl.load(bias + n)[None, :]
    if image is not None:
        sample = ((row * width + col) * IMAGE_C)[:, None] + (n % IMAGE_C)[None, :]
        base = tl.load(image + sample, mask=mask, other=0).to(tl.float32)
        if image.dtype.element_ty == tl.uint8:
            base = base / 255
        value += base
    wrong = mask & ~(tl.abs(value) < float("inf"))  # NaN is less than nothing
    wrong = tl.max(wrong.to(tl.int32), axis=1)  # (M,)
    tl.store(not_finite + 0 * col, wrong, mask=wrong > 0)  # all store the same
    line = (row * SCALE)[:, None] + (n // ACROSS)[None, :]
    place = line * (width * ACROSS) + (col * ACROSS)[:, None] + (n % ACROSS)[None, :]
    if out.dtype.element_ty == tl.uint8:
        # From 2²³ on a float's last bit is worth 1: adding it rounds to even, and leaves the
        # integer in the lowest bits. Clamped in between, so that the two are not one operation.
        level = tl.minimum(tl.maximum(value * 255, 0.0), 255.0)
        byte = (level + 8388608.0).to(tl.int32, bitcast=True).to(tl.uint8)
        tl.store(out + place, byte, mask=mask)
    else:
        tl.store(out + place, tl.minimum(tl.maximum(value, 0.0), 1.0), mask=mask)


@triton.jit(do_not_specialize=["height", "width", "run"])
def head_rows_kernel(
    x,  # (N, height, width, C)
    weight,  # (9, C, COLUMNS): tap, in, (dy, dx, sample)
    bias,  # (COLUMNS,) fp32
    image,  # (N, height, width, IMAGE_C), uint8 or fp32, or None
    out,  # (N, SCALE · height, SCALE · width, IMAGE_C), uint8 or fp32
    not_finite,  # (1,) int32
    height,
    width,
    run,  # rows of a program
    C: tl.constexpr,
    IMAGE_C: tl.constexpr,
    SCALE: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    """A program: `run` rows of BLOCK_W pixels of one image."""
    strips = tl.cdiv(width, BLOCK_W)
    runs = tl.cdiv(height, run)
    left = tl.program_id(0) % strips * BLOCK_W
    top = tl.program_id(0) // strips % runs * run
    line = (tl.program_id(0) // strips // runs).to(tl.int64) * height + top  # of all images
    start = line * width + left
    if image is not None:
        image += start * IMAGE_C
    out += (line * SCALE * width + left) * (SCALE * IMAGE_C)
    taps = load_taps(weight, C, COLUMNS)
    col = tl.arange(0, BLOCK_W)
    rest = width - left
    above = tl.zeros((BLOCK_W, COLUMNS), tl.float32)  # the output row over the input row
    level = tl.zeros((BLOCK_W, COLUMNS), tl.float32)
    last = tl.minimum(run, height - top)
    for row in range(-1, last + 1):
        inside = (top + row >= 0) & (top + row < height)
        above, level, below = add_row(
            x + (start + row * width) * C, inside, col, left, rest, taps, above, level, C
        )
        if row > 0:
            finish(
                above, bias, image, out, not_finite, row - 1 + 0 * col, col, col < rest, width,
                IMAGE_C, SCALE, COLUMNS,
            )  # fmt: skip
        above = level
        level = below


@triton.jit(do_not_specialize=["height", "width"])
def head_taps_kernel(
    x,  # (N, height, width, C)
    weight,  # (9, C', COLUMNS): tap, in, (dy, dx, sample)
    bias,  # (COLUMNS,) fp32
    image,  # (N, height, width, IMAGE_C), uint8 or fp32, or None
    out,  # (N, SCALE · height, SCALE · width, IMAGE_C), uint8 or fp32
    not_finite,  # (1,) int32
    height,
    width,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    IMAGE_C: tl.constexpr,
    SCALE: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_K: tl.constexpr,
    PRECISION: tl.constexpr,
    STAGES: tl.constexpr,
):
    """A program: BLOCK_H × BLOCK_W pixels of one image."""
    STEPS: tl.constexpr = C_PADDED // BLOCK_K
    strips = tl.cdiv(width, BLOCK_W)
    left = tl.program_id(0) % strips * BLOCK_W
    top = tl.program_id(0) // strips * BLOCK_H
    line = tl.program_id(1).to(tl.int64) * height + top  # of all images
    start = line * width + left
    if image is not None:
        image += start * IMAGE_C
    out += (line * SCALE * width + left) * (SCALE * IMAGE_C)
    pixel = tl.arange(0, BLOCK_H * BLOCK_W)
    row = pixel // BLOCK_W
    col = pixel % BLOCK_W
    k = tl.arange(0, BLOCK_K)
    n = tl.arange(0, COLUMNS)
    sums = tl.zeros((BLOCK_H * BLOCK_W, COLUMNS), tl.float32)
    for step in tl.range(9 * STEPS, num_stages=STAGES):
        dy = step // STEPS // 3 - 1
        dx = step // STEPS % 3 - 1
        channel = step % STEPS * BLOCK_K + k
        a = load_tap(
            x + start * C, dy, dx, row, col, top, left, height, width, channel, C, BLOCK_K
        )  # (M, K)
        b = tl.load(weight + (step * BLOCK_K + k)[:, None] * COLUMNS + n[None, :])
        sums = tl.dot(a, b, sums, input_precision=PRECISION)
    inside = (top + row < height) & (left + col < width)
    finish(sums, bias, image, out, not_finite, row, col, inside, width, IMAGE_C, SCALE, COLUMNS)


class HeadWeights(NamedTuple):
    """Packed weights.

    Attributes:
        taps: (9, C', columns): tap, input channel, (dy, dx, image channel); C' and the columns are
            rounded up for matrix instructions, with zeros.
        bias: (columns,) fp32.
        channels: C.
        image_channels: 1 to 4.
        scale: 1 to 4.
    """

    taps: Tensor
    bias: Tensor
    channels: int
    image_channels: int
    scale: int


def pack_head(
    weight: Tensor, bias: Tensor, scale: int, dtype: torch.dtype, device: torch.device | str
) -> HeadWeights:
    """`Head.conv`'s weight (image channels · s², C, 3, 3) and bias, packed."""
    outputs, c = weight.shape[:2]
    places = scale * scale
    # (image channel, dy, dx) → (dy, dx, image channel)
    order = torch.arange(outputs).view(-1, places).T.flatten()
    more = padded(outputs, 64) - outputs
    taps = weight[order].permute(2, 3, 1, 0).flatten(0, 1)  # (9, C, outputs)
    return HeadWeights(
        taps=F.pad(taps, (0, more, 0, padded(c) - c)).to(device, dtype).contiguous(),
        bias=F.pad(bias[order], (0, more)).to(device, torch.float32).contiguous(),
        channels=c,
        image_channels=outputs // places,
        scale=scale,
    )


def default_config(weights: HeadWeights, arch: int) -> dict[str, Any]:
    """Block sizes that compile without spills for sm_`arch`; chosen on arithmetic, not measured."""
    if weights.taps.dtype == torch.float32:
        block_k = largest_block(weights.taps.shape[1], 32)
        return _taps(block_h=8, block_w=8, block_k=block_k, num_warps=4, num_stages=2)
    inner, columns = weights.taps.shape[1:]
    # Without warpgroups' instructions, matrices of 64 columns leave no registers for the rest.
    if weights.channels in (16, 32, 64) and (columns < 64 or arch in (90, 100)):
        return {"form": "rows", "block_w": 64, "num_warps": 4, "num_stages": 1}
    wide = columns == 64
    return _taps(
        block_h=8,
        block_w=8 if wide and arch == 100 else 16,
        block_k=largest_block(inner, 64),
        num_warps=8 if wide and arch != 100 else 4,
        num_stages=3 if arch in (80, 90, 100) else 2,
    )


def _taps(**sizes: int) -> dict[str, Any]:
    return {"form": "taps", **sizes}


def head(
    x: Tensor,
    weights: HeadWeights,
    image: Tensor | None,
    *,
    out: Tensor,
    not_finite: Tensor,
    config: Mapping[str, Any] | None = None,
) -> Tensor:
    """clamp(image repeated s × s + pixel_shuffle(conv3x3(x) + b), 0, 1).

    Args:
        x: (N, H, W, C), contiguous, of the weights' dtype.
        weights: from `pack_head`.
        image: (N, H, W, image channels), contiguous: float32, or uint8, which is divided by 255;
            None for a picture without a base.
        out: (N, s·H, s·W, image channels), contiguous: float32, or uint8, which gets 255 times the
            value, rounded half to even.
        not_finite: (1,) int32, set to 1 where a value before the clamp is infinite or NaN, and
            else left as it is.
        config: overrides of `default_config`; with another "form", all of its sizes.

    Returns:
        `out`.
    """
    n, h, w, _ = x.shape
    chosen = default_config(weights, architecture(x.device)) | dict(config or {})
    strips = triton.cdiv(w, chosen["block_w"])
    rows, grid = (), (strips * triton.cdiv(h, chosen.get("block_h", 1)), n)
    if chosen["form"] == "rows":
        run = rows_of_run(n * strips, h, multiprocessors(x.device))
        rows, grid = (run,), (strips * triton.cdiv(h, run) * n,)
    kernel(chosen)[grid](
        x, weights.taps, weights.bias, image, out, not_finite, h, w, *rows,
        **kernel_constants(weights, chosen),
        num_warps=chosen["num_warps"], num_stages=chosen["num_stages"], enable_fp_fusion=True,
    )  # fmt: skip
    return out


def kernel(config: Mapping[str, Any]) -> Any:
    """The kernel of a configuration's form."""
    return head_rows_kernel if config["form"] == "rows" else head_taps_kernel


def kernel_constants(weights: HeadWeights, config: Mapping[str, Any]) -> dict[str, Any]:
    """The compile-time arguments of `kernel(config)`, but for an image that is None."""
    constants = {
        "C": weights.channels,
        "IMAGE_C": weights.image_channels,
        "SCALE": weights.scale,
        "COLUMNS": weights.taps.shape[2],
        "BLOCK_W": config["block_w"],
    }
    if config["form"] == "rows":
        return constants
    return constants | {
        "C_PADDED": weights.taps.shape[1],
        "BLOCK_H": config["block_h"],
        "BLOCK_K": config["block_k"],
        "PRECISION": PRECISION[weights.taps.dtype],
        "STAGES": config["num_stages"],
    }


def cost(
    n: int, h: int, w: int, weights: HeadWeights, image_item: int, out_item: int
) -> tuple[int, int]:
    """Bytes that must cross device memory and FLOPs that must be done, of (N, H, W, C).

    image_item, out_item: bytes of a sample; image_item 0 without a base.
    """
    pixels, item = n * h * w, weights.taps.element_size()
    outputs = weights.image_channels * weights.scale**2
    parameters = 9 * weights.channels * outputs
    features = item * (pixels * weights.channels + parameters) + 4 * outputs
    picture = pixels * (weights.image_channels * image_item + outputs * out_item)
    return features + picture, 2 * pixels * parameters


def variants(
    dtype: torch.dtype,
    arch: int,
    channels: tuple[int, ...] = (64, 96, 128, 192, 256),
    scales: tuple[int, ...] = (1, 2, 3, 4),
    image_channels: int = 3,
) -> Iterator[Variant]:
    """The compiled forms that the presets need on sm_`arch`.

    From bytes to bytes, from floats to floats, and without a base (latents) to floats.
    """
    for c in channels:
        for scale in scales:
            outputs = image_channels * scale**2
            empty = torch.zeros(outputs, c, 3, 3), torch.zeros(outputs)
            weights = pack_head(*empty, scale, dtype, "cpu")
            for image, out in (("u8", "u8"), ("fp32", "fp32"), (None, "fp32")):
                yield variant(weights, image, out, default_config(weights, arch))


def variant(
    weights: HeadWeights, image: str | None, out: str, config: Mapping[str, Any]
) -> Variant:
    """The compiled form for samples of `image` and `out`: u8 or fp32, image None for no base."""
    dtype = weights.taps.dtype
    kind = f"*{DTYPES[dtype]}"
    pointers = {"x": kind, "weight": kind, "bias": "*fp32", "out": f"*{out}"}
    pointers["not_finite"] = "*i32"
    constants = kernel_constants(weights, config)
    if image is None:
        constants["image"] = None
    else:
        pointers["image"] = f"*{image}"
    name = f"head_{config['form']}_x{weights.scale}_c{weights.channels}_i{weights.image_channels}"
    return variant_of(
        kernel(config),
        f"{name}_{image or 'none'}_{out}_{DTYPES[dtype]}",
        pointers,
        constants,
        config,
        wgmma=dtype != torch.float32,
    )
