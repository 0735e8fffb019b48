"""Launches of stem, convolution block, down, up and head: what `triton.stem` and its siblings do
with tensors, in terms of sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..triton import conv_block, down, head, stem, up
from .expression import Size, cdiv, least, most
from .launch import Argument, Buffer, Launch, Weight

# Height and width, and pictures before them.
Shape = tuple[Size, Size, Size]
PROCESSORS = Size("P")  # multiprocessors of the GPU


def rows_of_run(strips: Size, height: Size) -> Size:
    """See `triton.conv3x3.rows_of_run`."""
    return least(most(cdiv(strips * height, 2 * PROCESSORS), 4), 64)


def of_stem(
    weights: stem.StemWeights, names: Mapping[str, Weight], arch: int, shape: Shape, out: Buffer
) -> list[Launch]:
    """The picture to `out`, for bytes and for floats."""
    n, h, w = shape
    config = stem.default_config(weights.channels, weights.matrix.dtype, arch)
    blocks = cdiv(n * h * w, config["block_m"])
    grid = (blocks * (weights.matrix.shape[1] // config["block_n"]),)
    arguments: dict[str, Argument] = {
        "image": Buffer("image"), "weight": names["matrix"], "bias": names["bias"], "out": out,
        "pixels": n * h * w, "height": h, "width": w,
    }  # fmt: skip
    return [
        Launch(stem.variant(weights, sample, config), grid, arguments, sample)
        for sample in ("u8", "fp32")
    ]


def of_conv_block(
    weights: conv_block.ConvBlockWeights,
    names: Mapping[str, Weight],
    arch: int,
    shape: Shape,
    x: Buffer,
    out: Buffer,
) -> Launch:
    """x + SiLU(conv3x3(x) + b)."""
    n, h, w = shape
    config = conv_block.default_config(weights.channels, weights.taps.dtype, arch)
    variant = conv_block.variant(weights.channels, weights.taps.dtype, config)
    arguments: dict[str, Argument] = {
        "x": x, "weight": names["taps"], "bias": names["bias"], "out": out, "height": h, "width": w
    }  # fmt: skip
    if config["form"] == "rows":
        return Launch(variant, *_by_rows(shape, config, arguments))
    blocks = weights.taps.shape[1] // (config["block_n"] + config["tail"])
    strips = cdiv(w, config["block_w"])
    return Launch(variant, (blocks * strips * cdiv(h, config["block_h"]), n), arguments)


def of_down(
    weights: down.DownWeights,
    names: Mapping[str, Weight],
    arch: int,
    shape: Shape,
    coarse: Shape,
    x: Buffer,
    out: Buffer,
) -> Launch:
    """From a level to the next coarser one."""
    n, h, w = shape
    pixels = n * coarse[1] * coarse[2]
    config = down.default_config(weights, arch)
    blocks = cdiv(pixels, config["block_m"]) * (weights.matrix.shape[1] // config["block_n"])
    arguments: dict[str, Argument] = {
        "x": x, "weight": names["matrix"], "bias": names["bias"], "out": out,
        "pixels": pixels, "height": h, "width": w,
    }  # fmt: skip
    return Launch(down.variant(weights, config), (blocks,), arguments)


def of_up(
    weights: up.UpWeights,
    names: Mapping[str, Weight],
    arch: int,
    coarse: Shape,
    shape: Shape,
    x: Buffer,
    skip: Buffer,
    out: Buffer,
) -> Launch:
    """From a level to the next finer one, whose skip is added."""
    n, coarse_h, coarse_w = coarse
    pixels = n * coarse_h * coarse_w
    config = up.default_config(weights, arch)
    blocks = cdiv(pixels, config["block_m"]) * (weights.matrix.shape[1] // config["block_n"])
    arguments: dict[str, Argument] = {
        "x": x, "weight": names["matrix"], "bias": names["bias"], "skip": skip, "out": out,
        "pixels": pixels, "coarse_height": coarse_h, "coarse_width": coarse_w,
        "height": shape[1], "width": shape[2],
    }  # fmt: skip
    return Launch(up.variant(weights, config, skip=True), (blocks,), arguments)


def of_head(
    weights: head.HeadWeights, names: Mapping[str, Weight], arch: int, shape: Shape, x: Buffer
) -> list[Launch]:
    """Features to the picture, for bytes and for floats."""
    n, h, w = shape
    config = head.default_config(weights, arch)
    arguments: dict[str, Argument] = {
        "x": x, "weight": names["taps"], "bias": names["bias"], "image": Buffer("image"),
        "out": Buffer("picture"), "not_finite": Buffer("not_finite"), "height": h, "width": w,
    }  # fmt: skip
    if config["form"] == "rows":
        grid, arguments = _by_rows(shape, config, arguments)
    else:
        grid = (cdiv(w, config["block_w"]) * cdiv(h, config["block_h"]), n)
    return [
        Launch(head.variant(weights, sample, sample, config), grid, arguments, sample)
        for sample in ("u8", "fp32")
    ]


def _by_rows(
    shape: Shape, config: Mapping[str, Any], arguments: dict[str, Argument]
) -> tuple[tuple[Size, ...], dict[str, Argument]]:
    """Grid and arguments of the form `rows`."""
    n, h, w = shape
    strips = cdiv(w, config["block_w"])
    run = rows_of_run(n * strips, h)
    return (strips * cdiv(h, run) * n,), {**arguments, "run": run}
