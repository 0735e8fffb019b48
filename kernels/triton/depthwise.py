"""Each channel by itself: depthwise convolutions, and maxima of neighbouring pixels.

Memory is all that counts, so taps are added one after the other, without matrix products, and
neighbours are read again from L1.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
import triton
import triton.language as tl

from imagen_fast.graph.convolutions import before

from .elementwise import within
from .epilogue import samples, write
from .launch import Launch
from .reduce import larger
from .size import cdiv
from .step import Step

BLOCK_M, MOST_COLUMNS = 32, 64


@triton.jit(do_not_specialize=["pixels", "height", "width", "x_height", "x_width"])
def depthwise_kernel(
    x,  # (N, x_height, x_width, C), features, uint8 or fp32
    taps,  # (KERNEL · KERNEL, C') in the features' type; None: the maximum
    bias,  # (C',) fp32
    slopes,  # (C',) fp32
    first,  # like out
    second,
    out,  # (N, height, width, C)
    pixels,  # of out
    height,
    width,
    x_height,
    x_width,
    C: tl.constexpr,
    C_PADDED: tl.constexpr,
    KERNEL: tl.constexpr,
    STRIDE: tl.constexpr,
    BEFORE: tl.constexpr,  # pixels of the kernel before the result's
    BORDER: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A program: BLOCK_M pixels of the result, over the ends of images, BLOCK_N channels."""
    BLOCKS: tl.constexpr = C_PADDED // BLOCK_N
    m = tl.program_id(0) // BLOCKS * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    mask = (m < pixels)[:, None] & (n < C)[None, :]
    row = m // width % height * STRIDE - BEFORE
    col = m % width * STRIDE - BEFORE
    line = (m // width // height).to(tl.int64) * x_height
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    if taps is None:
        sums += float("-inf")
    for tap in range(KERNEL * KERNEL):
        y_place = within(row + tap // KERNEL, x_height, BORDER)
        x_place = within(col + tap % KERNEL, x_width, BORDER)
        inside = (y_place >= 0) & (y_place < x_height) & (x_place >= 0) & (x_place < x_width)
        at = ((line + y_place) * x_width + x_place)[:, None] * C + n[None, :]
        inside = mask & inside[:, None]
        value = samples(x, at, inside)
        if taps is None:
            sums = tl.where(inside, larger(value, sums), sums)
        else:
            sums += value * tl.load(taps + tap * C_PADDED + n).to(tl.float32)[None, :]
    place = m.to(tl.int64)[:, None] * C + n[None, :]
    write(
        sums, n, place, mask, bias, slopes, first, second, out, ACTIVATION, SLOPE, SCALE
    )  # fmt: skip


def depthwise(step: Step) -> Launch:
    """`convolution` that is depthwise, of any kernel, stride and border."""
    c = step.out.channels
    more = (0, _padded(c) - c)
    packed = step.pack(
        lambda: {
            "taps" if role == "weight" else role: F.pad(x.flatten(1).T if x.ndim > 1 else x, more)
            for role, x in step.tensors.items()
        }
    )
    return _launch(step, {"taps": packed["taps"], **step.ending(packed)}, step.activation())


def max_pool(step: Step) -> Launch:
    """`max_pool`."""
    absent = dict.fromkeys(("taps", "bias", "slopes", "first", "second"))
    plain = {"ACTIVATION": "none", "SLOPE": 0.0, "SCALE": 1.0}
    return _launch(step, {**absent, "out": step.out}, plain)


def _padded(c: int) -> int:
    block_n = min(MOST_COLUMNS, int(triton.next_power_of_2(c)))
    return -(-c // block_n) * block_n


def _launch(step: Step, arguments: dict[str, Any], constants: dict[str, Any]) -> Launch:
    x, out, a = step.all_given[0], step.out, step.settings
    c, padding, kernel = out.channels, a.get("padding", "zero"), a["kernel"]
    block_n = min(MOST_COLUMNS, int(triton.next_power_of_2(c)))
    _, h, w, _ = out.shape
    sizes = {"pixels": out.pixels, "height": h, "width": w}
    sizes |= {"x_height": x.shape[1], "x_width": x.shape[2]}
    constants |= {"C": c, "C_PADDED": _padded(c), "KERNEL": kernel, "STRIDE": a["stride"]}
    constants |= {"BEFORE": 0 if padding == "valid" else before(kernel), "BORDER": padding}
    constants |= {"BLOCK_M": BLOCK_M, "BLOCK_N": block_n}
    return Launch(
        step.name(f"{step.operation.kind}_each_c{c}_k{kernel}"),
        depthwise_kernel,
        (cdiv(out.pixels, BLOCK_M) * (_padded(c) // block_n),),
        {"x": x, **arguments, **sizes},
        constants,
    )
