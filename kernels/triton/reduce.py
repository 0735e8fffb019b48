"""One number of many: of all pixels of a picture, in two steps, or of the channels of each pixel.

The order of all sums is fixed, so that two runs give the same. Squares are of differences, to the
picture's first pixel or to the mean, and so lose nothing where the mean is large.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
import triton
import triton.language as tl

from .epilogue import samples
from .launch import Launch
from .size import cdiv, least
from .step import Step

BLOCK_M, MOST_COLUMNS = 64, 64
PARTS = 4  # of a picture, for each multiprocessor


@triton.jit
def larger(a, b):
    """NaN stays, which a GPU's maximum would hide."""
    return tl.where((a > b) | (a != a), a, b)


@triton.jit(do_not_specialize=["pixels", "parts"])
def parts_kernel(
    x,  # (N, pixels, C)
    sums,  # (N, parts, 2, C) fp32
    pixels,
    parts,
    C: tl.constexpr,
    FUNCTION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A program: BLOCK_N channels of a part of one image, every `parts`-th block of BLOCK_M pixels.

    Its maximum; or the sums of the differences to the first pixel, and of their squares.
    """
    BLOCKS: tl.constexpr = (C + BLOCK_N - 1) // BLOCK_N
    part = tl.program_id(0) // BLOCKS  # of all images
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.arange(0, BLOCK_M)
    x += (part // parts).to(tl.int64) * pixels * C
    origin = samples(x, n, n < C)[None, :]
    first = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    second = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    if FUNCTION == "maximum":
        first += float("-inf")
    for start in range(part % parts * BLOCK_M, pixels, parts * BLOCK_M):
        pixel = (start + m).to(tl.int64)[:, None]
        mask = (pixel < pixels) & (n < C)[None, :]
        value = samples(x, pixel * C + n[None, :], mask)
        if FUNCTION == "maximum":
            first = tl.where(mask, larger(value, first), first)
        else:
            value = tl.where(mask, value - origin, 0.0)
            first += value
            second += value * value
    out = sums + part.to(tl.int64) * (2 * C) + n
    if FUNCTION == "maximum":
        tl.store(out, tl.reduce(first, 0, larger), mask=n < C)
    else:
        tl.store(out, tl.sum(first, axis=0), mask=n < C)
        tl.store(out + C, tl.sum(second, axis=0), mask=n < C)


@triton.jit(do_not_specialize=["pixels", "parts"])
def picture_kernel(
    x,  # (N, pixels, C)
    sums,  # (N, parts, 2, C) fp32
    out,  # (N, C)
    pixels,
    parts,
    C: tl.constexpr,
    FUNCTION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A program: BLOCK_N channels of one image, of whose parts BLOCK_M come at a time."""
    BLOCKS: tl.constexpr = (C + BLOCK_N - 1) // BLOCK_N
    image = (tl.program_id(0) // BLOCKS).to(tl.int64)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.arange(0, BLOCK_M)
    sums += image * parts * (2 * C)
    first = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    second = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    if FUNCTION == "maximum":
        first += float("-inf")
    for start in range(0, parts, BLOCK_M):
        part = (start + m)[:, None]
        mask = (part < parts) & (n < C)[None, :]
        at = part * (2 * C) + n[None, :]
        if FUNCTION == "maximum":
            first = larger(tl.load(sums + at, mask=mask, other=float("-inf")), first)
        else:
            first += tl.load(sums + at, mask=mask, other=0.0)
            second += tl.load(sums + at + C, mask=mask, other=0.0)
    if FUNCTION == "maximum":
        value = tl.reduce(first, 0, larger)
    else:
        mean = tl.sum(first, axis=0) / pixels
        if FUNCTION == "mean":
            value = mean + samples(x, image * pixels * C + n, n < C)
        else:
            value = tl.sum(second, axis=0) / pixels - mean * mean
            value = tl.where(value < 0, 0.0, value)
            if FUNCTION == "deviation":
                value = tl.sqrt(value)
    tl.store(out + image * C + n, value.to(out.dtype.element_ty), mask=n < C)


@triton.jit(do_not_specialize=["pixels"])
def channels_kernel(
    x,  # (pixels, C)
    weight,  # (C',) fp32, or None
    bias,  # (C',) fp32, or None
    out,  # (pixels, C) of a norm, else (pixels, 1)
    pixels,
    C: tl.constexpr,
    FUNCTION: tl.constexpr,
    EPSILON: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A program: BLOCK_M pixels."""
    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.arange(0, BLOCK_N)[None, :]
    pixel = m.to(tl.int64)[:, None]
    mask = (m < pixels)[:, None] & (n < C)
    value = samples(x, pixel * C + n, mask)
    if FUNCTION == "maximum":
        found = tl.reduce(tl.where(n < C, value, float("-inf")), 1, larger)
    else:
        found = tl.sum(value, axis=1) / C
        if FUNCTION != "mean":
            value = tl.where(n < C, value - found[:, None], 0.0)
            found = tl.sum(value * value, axis=1) / C
            if FUNCTION == "deviation":
                found = tl.sqrt(found)
    if FUNCTION == "norm":
        value /= tl.sqrt(found + EPSILON)[:, None]
        if weight is not None:
            value *= tl.load(weight + n)
        if bias is not None:
            value += tl.load(bias + n)
        tl.store(out + pixel * C + n, value.to(out.dtype.element_ty), mask=mask)
    else:
        tl.store(out + m.to(tl.int64), found.to(out.dtype.element_ty), mask=m < pixels)


def reduce(step: Step) -> list[Launch]:
    """`reduce`."""
    function = step.settings["function"]
    return (
        _of_channels(step, function) if step.settings["over"] == "channels" else _of_picture(step)
    )


def layer_norm(step: Step) -> list[Launch]:
    """`layer_norm`."""
    return _of_channels(step, "norm", step.settings["epsilon"])


def _of_picture(step: Step) -> list[Launch]:
    x, out, function = step.all_given[0], step.out, step.settings["function"]
    n, h, w, c = x.shape
    block_n = min(MOST_COLUMNS, int(triton.next_power_of_2(c)))
    blocks = -(-x.channels // block_n)
    parts = least(cdiv(h * w, BLOCK_M), PARTS * step.processors)
    arguments: dict[str, Any] = {"x": x, "sums": step.scratch((n, parts, 2, c), "fp32")}
    sizes = {"pixels": h * w, "parts": parts}
    constants = {"C": x.channels, "FUNCTION": function, "BLOCK_M": BLOCK_M, "BLOCK_N": block_n}
    name = f"{function}_c{x.channels}_{step.kind}"
    return [
        Launch(
            f"parts_{name}", parts_kernel, (n * parts * blocks,), arguments | sizes, constants
        ),
        Launch(
            f"picture_{name}", picture_kernel, (n * blocks,),
            arguments | {"out": out} | sizes, constants,
        ),
    ]  # fmt: skip


def _of_channels(step: Step, function: str, epsilon: float = 0.0) -> list[Launch]:
    x, c = step.all_given[0], step.all_given[0].channels
    block_n = int(triton.next_power_of_2(c))
    packed = step.pack(lambda: {r: F.pad(t, (0, block_n - c)) for r, t in step.tensors.items()})
    arguments = {"x": x, "weight": packed.get("weight"), "bias": packed.get("bias")}
    block_m = max(1, 4096 // block_n)
    constants = {"C": c, "FUNCTION": function, "EPSILON": float(epsilon)}
    return [
        Launch(
            f"channels_{function}_c{c}_{step.kind}", channels_kernel, (cdiv(x.pixels, block_m),),
            arguments | {"out": step.out, "pixels": x.pixels},
            constants | {"BLOCK_M": block_m, "BLOCK_N": block_n},
        )
    ]  # fmt: skip
