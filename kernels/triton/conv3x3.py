"""3×3 convolutions, whatever is done with their sums: in a feature map, or in a picture.

out = shuffle(scale · activation(conv3x3(x) + b)) + first + second, where `first` lies on the grid
of x and each of its pixels counts factor² times. Columns are in the order (dy, dx, channel), so
that the shuffle is where a sum is stored; a plain convolution is one with factor 1.

Two forms, with zeros around the picture, or around x if that is wider than the result:

- `rows`: a program walks down a strip of the picture, all weights resident in shared memory.
  An input row, read three times (shifted left, not, right), adds to three output rows at once,
  whose sums stay in registers. Per pixel 3 · C values are read where `taps` reads 9 · C from L2,
  which at C = 64 is more than the matrix units need time for. For C ≤ 64; at C = 96 on sm_90 a
  program computes a third of the columns, so that 9 · C values are read, but six of them from L1.
  Up to 64, numbers of channels and columns are padded with zeros to powers of two.
- `taps`: implicit GEMM over a two-dimensional tile of pixels, a step a tap and block of
  channels, weights streaming. 96 and 192 columns are no powers of two: a second, narrower
  accumulator ("tail") takes the rest, so that no matrix instruction works on padding. Numbers
  that are no multiple of 16, which a matrix instruction takes, are padded to one.

Block sizes compile without spills on every architecture; chosen on arithmetic, not measured.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .blocks import largest_block, padded
from .elementwise import bordered
from .epilogue import finish, samples, store
from .launch import Launch
from .size import Number, cdiv, div, least, most
from .step import Step


@triton.jit
def add_row(
    line,  # points at the strip's first pixel in an input row
    inside,  # whether the picture has that row
    col,  # (M,) the strip's pixels
    left,  # where the strip's first pixel is in the picture
    rest,  # pixels from there to the row's end
    taps,  # nine matrices (PADDED, N), in parts (K, N) one after the other
    above,  # (M, N) sums of the output row over the input row
    level,  # of the output row beside it
    C: tl.constexpr,
    PADDED: tl.constexpr,
    K: tl.constexpr,
    WIDER: tl.constexpr,
):
    """What an input row adds to three output rows: their sums `above`, `level` and below.

    The row is read three times: from one pixel further left, as it is, from one further right.
    """
    PARTS: tl.constexpr = PADDED // K
    below = tl.zeros(above.shape, tl.float32)
    k = tl.arange(0, K)[None, :]
    place = col[:, None] * C + k
    for dx in tl.static_range(3):
        pixel = (inside & (left + col + dx >= 1 - WIDER) & (col + dx <= rest + WIDER))[:, None]
        for part in tl.static_range(PARTS):
            mask = pixel
            if part * K + K > C:
                mask = pixel & (part * K + k < C)
            a = tl.load(line + (dx - 1) * C + part * K + place, mask=mask, other=0)
            above = tl.dot(a, taps[(6 + dx) * PARTS + part], above)
            level = tl.dot(a, taps[(3 + dx) * PARTS + part], level)
            below = tl.dot(a, taps[dx * PARTS + part], below)
    return above, level, below


@triton.jit
def place_sums(
    sums,  # (M, N), without bias
    column,  # (N,)
    row,
    col,  # (M,) the pixels, from the tile's first
    inside,  # (M,) whether they are in the picture
    width,
    bias,
    slopes,
    first,  # these point at the tile's first pixel, or are None
    second,
    out,
    not_finite,
    C: tl.constexpr,
    FACTOR: tl.constexpr,
    COLUMNS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    CLAMP: tl.constexpr,
):
    """The rest of a tile's work, from its sums to its pixels."""
    ACROSS: tl.constexpr = FACTOR * C  # samples of a pixel in one row of the result
    mask = inside[:, None]
    if COLUMNS != FACTOR * ACROSS:
        mask = mask & (column < FACTOR * ACROSS)[None, :]
    pixel = row * width + col
    if FACTOR == 1:
        place = pixel[:, None] * C + column[None, :]
        base = place
    else:
        line = (row * FACTOR)[:, None] + (column // ACROSS)[None, :]
        place = line * (width * ACROSS) + (col * ACROSS)[:, None] + (column % ACROSS)[None, :]
        base = (pixel * C)[:, None] + (column % C)[None, :]
    rough: tl.constexpr = out.dtype.element_ty == tl.bfloat16
    value = finish(sums, column, bias, slopes, ACTIVATION, SLOPE, SCALE, rough)
    if first is not None:
        value += samples(first, base, mask)
    if second is not None:
        value += samples(second, place, mask)
    store(out, place, value, mask, not_finite, CLAMP)


@triton.jit(do_not_specialize=["height", "width", "run"])
def conv_rows_kernel(
    x,  # (N, height + 2 · WIDER, width + 2 · WIDER, INNER)
    taps,  # (9, INNER', COLUMNS): tap, in, (dy, dx, out); zeros beyond INNER and FACTOR² · C
    bias,  # (COLUMNS,) fp32
    slopes,  # (COLUMNS,) fp32
    first,  # (N, height, width, C), features, uint8 or fp32
    second,  # like out
    out,  # (N, FACTOR · height, FACTOR · width, C), features, uint8 or fp32
    not_finite,  # (1,) int32, where what leaves the network is stored
    height,
    width,
    run,  # rows of a program
    INNER: tl.constexpr,
    INNER_PADDED: tl.constexpr,
    C: tl.constexpr,
    FACTOR: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDER: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    CLAMP: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
    ROWS: tl.constexpr,
):
    """A program: BLOCK_N columns of `run` rows of BLOCK_W pixels of one image, ROWS of them in a
    turn of its loop.

    After three rows each of the sums has its role again. Sums that move from register to register
    have ptxas wait for every single product of warpgroups (its message C7514).
    """
    BLOCKS: tl.constexpr = COLUMNS // BLOCK_N
    strips = tl.cdiv(width, BLOCK_W)
    runs = tl.cdiv(height, run)
    tile = tl.program_id(0) // BLOCKS
    left = tile % strips * BLOCK_W
    top = tile // strips % runs * run
    image = (tile // strips // runs).to(tl.int64)
    line = image * height + top  # of all images
    start = line * width + left
    pitch = width + 2 * WIDER
    origin = (line + (2 * image + 1) * WIDER) * pitch + left + WIDER  # in x
    target = (line * FACTOR * width + left) * (FACTOR * C)
    if first is not None:
        first += start * C
    if second is not None:
        second += target
    out += target
    column = tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N)
    matrices = ()
    for part in tl.static_range(9 * INNER_PADDED // BLOCK_K):
        at = (part * BLOCK_K + tl.arange(0, BLOCK_K))[:, None] * COLUMNS + column[None, :]
        matrices += (tl.load(taps + at),)
    col = tl.arange(0, BLOCK_W)
    rest = width - left
    above = tl.zeros((BLOCK_W, BLOCK_N), tl.float32)  # the output row over the input row
    level = tl.zeros((BLOCK_W, BLOCK_N), tl.float32)
    last = tl.minimum(run, height - top)
    for group in range(-1, last + 1, ROWS):
        for turn in tl.static_range(ROWS):
            row = group + turn
            inside = (row <= last) & (top + row >= -WIDER) & (top + row < height + WIDER)
            above, level, below = add_row(
                x + (origin + row * pitch) * INNER, inside, col, left, rest, matrices, above, level,
                INNER, INNER_PADDED, BLOCK_K, WIDER,
            )  # fmt: skip
            if ROWS > 1 or row > 0:
                place_sums(
                    above, column, row - 1 + 0 * col, col, (col < rest) & (row > 0) & (row <= last),
                    width, bias, slopes, first, second, out, not_finite,
                    C, FACTOR, COLUMNS, ACTIVATION, SLOPE, SCALE, CLAMP,
                )  # fmt: skip
            above = level
            level = below


@triton.jit(do_not_specialize=["height", "width"])
def conv_taps_kernel(
    x,  # as of `conv_rows_kernel`
    taps,
    bias,
    slopes,
    first,
    second,
    out,
    not_finite,
    height,
    width,
    INNER: tl.constexpr,
    INNER_PADDED: tl.constexpr,
    C: tl.constexpr,
    FACTOR: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDER: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    CLAMP: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_W: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_N: tl.constexpr,
    TAIL: tl.constexpr,
):
    """A program: BLOCK_H × BLOCK_W pixels of one image, BLOCK_N + TAIL columns."""
    BLOCKS: tl.constexpr = COLUMNS // (BLOCK_N + TAIL)
    STEPS: tl.constexpr = INNER_PADDED // BLOCK_K
    strips = tl.cdiv(width, BLOCK_W)
    tiles = strips * tl.cdiv(height, BLOCK_H)  # of an image
    tile = tl.program_id(0) // BLOCKS % tiles
    begin = tl.program_id(0) % BLOCKS * (BLOCK_N + TAIL)
    left = tile % strips * BLOCK_W
    top = tile // strips * BLOCK_H
    image = (tl.program_id(0) // BLOCKS // tiles).to(tl.int64)
    line = image * height + top  # of all images
    start = line * width + left
    pitch = width + 2 * WIDER
    target = (line * FACTOR * width + left) * (FACTOR * C)
    x += ((line + (2 * image + 1) * WIDER) * pitch + left + WIDER) * INNER
    if first is not None:
        first += start * C
    if second is not None:
        second += target
    out += target
    pixel = tl.arange(0, BLOCK_H * BLOCK_W)
    row = pixel // BLOCK_W
    col = pixel % BLOCK_W
    k = tl.arange(0, BLOCK_K)
    n = begin + tl.arange(0, BLOCK_N)
    sums = tl.zeros((BLOCK_H * BLOCK_W, BLOCK_N), tl.float32)
    if TAIL > 0:
        m = begin + BLOCK_N + tl.arange(0, TAIL)
        more = tl.zeros((BLOCK_H * BLOCK_W, TAIL), tl.float32)
    for step in range(9 * STEPS):
        dy = step // STEPS // 3 - 1
        dx = step // STEPS % 3 - 1
        channel = step % STEPS * BLOCK_K + k
        y = top + row + dy
        z = left + col + dx
        inside = (y >= -WIDER) & (y < height + WIDER) & (z >= -WIDER) & (z < width + WIDER)
        inside = inside[:, None]
        if INNER % BLOCK_K != 0:
            inside = inside & (channel < INNER)[None, :]
        # From the tile's first pixel 32 bits hold offsets in a picture of any size.
        at = ((row + dy) * pitch + col + dx) * INNER
        a = tl.load(x + at[:, None] + channel[None, :], mask=inside, other=0)  # (M, K)
        b = taps + (step * BLOCK_K + k)[:, None] * COLUMNS
        sums = tl.dot(a, tl.load(b + n[None, :]), sums)
        if TAIL > 0:
            more = tl.dot(a, tl.load(b + m[None, :]), more)
    inside = (top + row < height) & (left + col < width)
    place_sums(
        sums, n, row, col, inside, width, bias, slopes, first, second, out, not_finite,
        C, FACTOR, COLUMNS, ACTIVATION, SLOPE, SCALE, CLAMP,
    )  # fmt: skip
    if TAIL > 0:
        place_sums(
            more, m, row, col, inside, width, bias, slopes, first, second, out, not_finite,
            C, FACTOR, COLUMNS, ACTIVATION, SLOPE, SCALE, CLAMP,
        )  # fmt: skip


def pack(tensors: dict[str, Tensor], factor: int) -> dict[str, Tensor]:
    """A weight (outputs, C, 3, 3) and what there is of its outputs, in the kernels' order."""
    outputs, inner = tensors["weight"].shape[:2]
    columns = padded_columns(outputs, factor)
    # (channel, dy, dx) → (dy, dx, channel)
    order = torch.arange(outputs).view(-1, factor**2).T.flatten()
    taps = tensors["weight"][order].permute(2, 3, 1, 0).flatten(0, 1)  # (9, C, outputs)
    vectors = {
        role: F.pad(x[order], (0, columns - outputs))
        for role, x in tensors.items()
        if role != "weight"
    }
    more = (0, columns - outputs, 0, padded_inner(inner) - inner)
    return {"taps": F.pad(taps, more), **vectors}


def padded_inner(inner: int) -> int:
    """A power of two up to 64; beyond, a multiple of 16."""
    return padded(inner, 64) if inner <= 64 else inner + -inner % 16


def padded_columns(outputs: int, factor: int) -> int:
    """As `padded_inner`; with a shuffle a multiple of 64 beyond it."""
    return padded_inner(outputs) if factor == 1 else padded(outputs, 64)


def blocks(inner: int, columns: int, factor: int, arch: int) -> dict[str, Any]:
    """Form and block sizes, and Triton's options, for sm_`arch`."""
    small_shared = arch >= 120 or 80 < arch < 90  # 99 KiB
    wide = columns == 64
    inner = padded_inner(inner)
    block_k = largest_block(inner, 64)
    if inner <= 64 and columns <= 64:
        # On other architectures (without warpgroups, or with sums in tensor memory) nothing is
        # gained by roles that rotate.
        strip = {"BLOCK_W": 64, "BLOCK_K": block_k, "BLOCK_N": columns}
        strip["ROWS"] = 3 if arch == 90 else 1
        if wide and factor > 1 and arch == 90:
            strip["BLOCK_N"] = 32  # three rows' shuffles of all are too many registers
        if factor == 1:
            warps = 8 if small_shared or arch == 80 else 4
            return strip | {"num_warps": warps, "num_stages": 2 if arch == 80 else 1}
        # Without warpgroups' instructions, 64 columns leave none at all.
        if not wide or arch in (90, 100):
            return strip | {"num_warps": 4, "num_stages": 1}
    if inner == columns == 96 and factor == 1 and arch == 90:
        # A third of the columns a program: three roles' sums of all of them are too many registers.
        strip = {"BLOCK_W": 64, "BLOCK_K": 32, "BLOCK_N": 32, "ROWS": 3}
        return strip | {"num_warps": 4, "num_stages": 1}
    block_n, tail = largest_block(columns, 128), 0
    if columns % 3 == 0 and block_n < 128:  # 96 = 64 + 32, 192 = 128 + 64
        block_n, tail = 2 * block_n, block_n
    found = {"BLOCK_H": 8, "BLOCK_W": 16, "BLOCK_K": block_k}
    found |= {"BLOCK_N": block_n, "TAIL": tail, "num_warps": 8}
    found["num_stages"] = 2 if small_shared else 3
    if factor > 1 and wide and arch == 100:
        found |= {"BLOCK_W": 8, "num_warps": 4}
    elif (factor > 1 and not wide) or (block_n == 128 and arch == 100):
        found["num_warps"] = 4
    return found


def convolution(step: Step) -> list[Launch]:
    """`convolution` and `subpixel_convolution` of 3×3 taps."""
    factor = step.settings.get("factor", 1)
    packed = step.pack(lambda: pack(step.tensors, factor))
    launches, x, first = bordered(step, step.features(0))
    wider = 1 - first
    out = step.out
    n, h, w, _ = x.shape
    h, w = (side - 2 * wider for side in (h, w))
    inner = x.channels
    outputs = step.tensors["weight"].shape[0]
    columns = padded_columns(outputs, factor)
    constants = blocks(inner, columns, factor, step.arch)
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    strips = cdiv(w, constants["BLOCK_W"])
    arguments = {
        "x": x, "taps": packed["taps"], **step.ending(packed), "not_finite": step.flag,
        "height": h, "width": w,
    }  # fmt: skip
    rows = "BLOCK_H" not in constants
    if rows:
        strips = strips * (columns // constants["BLOCK_N"])
        arguments["run"] = run = rows_of_run(n * strips, h, step.processors)
        grid = strips * cdiv(h, run) * n
    else:
        tiles = strips * cdiv(h, constants["BLOCK_H"])
        grid = tiles * n * (columns // (constants["BLOCK_N"] + constants["TAIL"]))
    constants |= {"INNER": inner, "INNER_PADDED": padded_inner(inner), "C": out.channels}
    constants |= {"FACTOR": factor, "COLUMNS": columns, "WIDER": wider, "CLAMP": step.clamp}
    constants |= step.activation()
    form = f"conv3x3_{'rows' if rows else 'taps'}_c{inner}_c{out.channels}"
    launch = Launch(
        step.name(f"{form}{f'_x{factor}' if factor > 1 else ''}"),
        conv_rows_kernel if rows else conv_taps_kernel,
        (grid,),
        arguments,
        constants,
        **options,
    )
    return [*launches, launch]


def rows_of_run(strips: Number, height: Number, processors: Number) -> Number:
    """Rows of a program that walks down a strip: two programs a multiprocessor at most, where that
    gives 4 to 64.

    Each run costs two rows more than it gives, and long ones leave processors idle at the end.
    """
    runs = most(div(2 * processors, strips), 1)  # of a strip
    return least(most(cdiv(height, runs), 4), 64)
