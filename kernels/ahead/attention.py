"""Launches of an attention block: what `triton.window_attention` and `triton.split_attention` do
with tensors, in terms of sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..triton import attention, linear, window_attention
from ..triton.attention_variant import form, label
from ..triton.attention_weights import AttentionWeights
from .convolutions import PROCESSORS, Shape
from .expression import Size, cdiv, least
from .launch import Argument, Buffer, Launch, Weight


@dataclass(frozen=True)
class Block:
    """An attention block and where it works.

    Attributes:
        names: of the packed tensors.
        arch: of the GPU.
        shape: of x and of all others.
        shift: of the windows.
        x, context, also, out: feature maps; context and also None without.
    """

    weights: AttentionWeights
    names: Mapping[str, Weight]
    arch: int
    shape: Shape
    shift: int
    x: Buffer
    context: Buffer | None
    also: Buffer | None
    out: Buffer

    @property
    def dtype(self) -> torch.dtype:
        """Of feature maps and matrices."""
        return self.weights.qkv.dtype

    @property
    def pixels(self) -> Size:
        """Of all pictures."""
        n, h, w = self.shape
        return n * h * w

    @property
    def columns(self) -> int:
        """Of all heads, padded."""
        return int(self.weights.proj.shape[0])

    def windows(self) -> tuple[Size, Size]:
        """Rows and columns of windows in a picture."""
        _, h, w = self.shape
        rows, columns = (cdiv(side + self.shift, self.weights.window) for side in (h, w))
        return rows, columns


SCRATCH = Buffer("scratch")


def of_attention(block: Block) -> tuple[list[Launch], Size | int]:
    """x + proj(attention(q(x), kv(context))) + also → out, and the elements of scratch memory."""
    if not block.weights.window:
        return _split(block), _split_scratch(block)
    config = window_attention.default_config(block.weights, block.dtype, block.arch)
    number = config["launches"]
    if number == 3:
        return _split(block), _split_scratch(block)
    launches = [_fused(block, config, block.out if number == 1 else SCRATCH)]
    if number == 1:
        return launches, 0
    return [*launches, _projection(block, SCRATCH)], block.pixels * block.columns


def _split_scratch(block: Block) -> Size:
    """See `split_attention.scratch_elements`: as many keys as queries."""
    return block.pixels * (4 * block.columns)


def _fused(block: Block, config: Mapping[str, int], target: Buffer) -> Launch:
    """`window_attention_kernel`."""
    weights, names = block.weights, block.names
    n, h, w = block.shape
    rows, columns = block.windows()
    windows = n * rows * columns
    cross, also = block.context is not None, block.also is not None
    constants = window_attention.kernel_constants(
        weights, block.dtype, config, cross=cross, also=also
    )
    name = f"window_attention_{label(weights)}{'_cross' * cross}{'_also' * constants['ALSO']}"
    arguments: dict[str, Argument] = {
        "x": block.x, "context": block.context or block.x, "also": block.also or block.x,
        "out": target, "qkv": names["qkv"], "proj": names["proj"], "scale": names["scale"],
        "position": names["position"], "windows": windows, "rows": rows, "columns": columns,
        "height": h, "width": w, "shift": block.shift, "head_dim": weights.head_dim,
    }  # fmt: skip
    whole = config["launches"] == 1
    programs = least(windows, config["programs"] * PROCESSORS) if whole else windows
    kernel = window_attention.window_attention_kernel
    variant = form(name, kernel, block.dtype, constants, config["num_warps"])
    return Launch(variant, (programs,), arguments)


def _split(block: Block) -> list[Launch]:
    """Queries, keys and values; attention; projection."""
    columns, pixels = block.columns, block.pixels
    rest = SCRATCH + pixels * columns
    if block.context is None:
        q, kv = rest, rest + columns
        first = [_parts(block, "qkv", block.x, q)]
        strides = (3 * columns, 3 * columns)
    else:
        q, kv = rest, rest + pixels * columns
        first = [_parts(block, "q", block.x, q), _parts(block, "kv", block.context, kv)]
        strides = (columns, 2 * columns)
    return [*first, _attended(block, q, kv, strides), _projection(block, SCRATCH)]


def _attended(block: Block, q: Buffer, kv: Buffer, strides: tuple[int, int]) -> Launch:
    """`attention_kernel`, to the start of the scratch memory."""
    weights = block.weights
    n, h, w = block.shape
    constants = attention.kernel_constants(weights, block.dtype, *strides)
    cross = "" if block.context is None else "_cross"
    rows: Size | int = 1
    columns: Size | int = 1
    picture: tuple[Size | int, Size | int] = (1, 1)
    tokens: Size | int = h * w
    if weights.window:
        rows, columns = block.windows()
        picture, tokens = (h, w), weights.window**2
    blocks = cdiv(tokens, constants["BLOCK_Q"])
    arguments: dict[str, Argument] = {
        "q": q, "k": kv, "v": kv + block.columns, "out": SCRATCH,
        "queries": h * w, "keys": h * w, "blocks": blocks, "rows": rows, "columns": columns,
        "height": picture[0], "width": picture[1], "shift": block.shift if weights.window else 0,
    }  # fmt: skip
    name = f"attention_{label(weights)}{cross}"
    warps = attention.warps(constants)
    variant = form(name, attention.attention_kernel, block.dtype, constants, warps)
    return Launch(variant, (n * rows * columns * blocks, weights.heads), arguments)


def _parts(block: Block, part: str, x: Buffer, out: Buffer) -> Launch:
    """`linear.query_key_value`."""
    weights, names = block.weights, block.names
    first = block.columns if part == "kv" else 0
    picture = block.shape[1:] if weights.window else (1, 1)
    return _linear(
        block,
        f"linear_{part}_{label(weights)}",
        linear.part_constants(weights, part, block.dtype),
        {
            "x": x, "weight": names["qkv"] + first,
            "position": names["position"] if weights.window else x,
            "bias": names["qkv_bias"] + first if weights.qkv_bias is not None else x,
            "scale": names["scale"] + (weights.heads if part == "kv" else 0),
            "residual": x, "also": x, "out": out,
        },
        (*picture, block.shift if weights.window else 0),
    )  # fmt: skip


def _projection(block: Block, mixed: Buffer) -> Launch:
    """`linear.project`."""
    weights, names = block.weights, block.names
    also = block.also is not None
    return _linear(
        block,
        f"linear_proj_{label(weights)}{'_also' * also}",
        linear.projection_constants(weights, block.dtype, True, also),
        {
            "x": mixed, "weight": names["proj"], "position": mixed,
            "bias": names["proj_bias"] if weights.proj_bias is not None else mixed,
            "scale": names["scale"], "residual": block.x, "also": block.also or mixed,
            "out": block.out,
        },
        (1, 1, 0),
    )  # fmt: skip


def _linear(
    block: Block,
    name: str,
    constants: dict[str, Any],
    pointers: dict[str, Argument],
    sizes: tuple[Size | int, ...],
) -> Launch:
    """`linear_kernel` over all pixels."""
    rows = block.pixels
    height, width, shift = sizes
    arguments: dict[str, Argument] = {
        **pointers, "rows": rows, "height": height, "width": width, "shift": shift,
        "head_dim": block.weights.head_dim,
    }  # fmt: skip
    grid = (cdiv(rows, constants["BLOCK_M"]), constants["OUT_PADDED"] // constants["BLOCK_N"])
    warps = linear.warps(constants)
    return Launch(form(name, linear.linear_kernel, block.dtype, constants, warps), grid, arguments)
