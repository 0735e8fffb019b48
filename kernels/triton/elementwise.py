"""What is computed value by value, or only moved: sums, products, parts, enlargements, halves."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
import triton
import triton.language as tl

from .epilogue import activate, samples, store
from .launch import SAMPLES, Argument, Array, Launch
from .size import cdiv
from .step import Step

BLOCK_M, MOST_COLUMNS = 32, 128


@triton.jit(do_not_specialize=["pixels", "height", "width", "x_height", "x_width"])
def elementwise_kernel(
    x,  # (N, x_height, x_width, X_STRIDE), features, uint8 or fp32
    y,  # (N, height, width, C), or None
    slopes,  # (C',) fp32, or None
    out,  # (N, height, width, OUT_STRIDE)
    not_finite,  # (1,) int32, where what leaves the network is stored
    pixels,  # N · height · width
    height,
    width,
    x_height,
    x_width,
    C: tl.constexpr,
    X_STRIDE: tl.constexpr,
    OUT_STRIDE: tl.constexpr,
    FACTOR: tl.constexpr,  # of enlargement
    SHUFFLE: tl.constexpr,  # by a pixel shuffle
    BILINEAR: tl.constexpr,  # between pixels
    HALVE: tl.constexpr,
    CROP: tl.constexpr,  # x is the larger one
    PRODUCT: tl.constexpr,  # of x and y, else their sum
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    OFFSET: tl.constexpr,
    CLAMP: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """A program: BLOCK_M pixels, BLOCK_N channels of the result."""
    BLOCKS: tl.constexpr = (C + BLOCK_N - 1) // BLOCK_N
    m = tl.program_id(0) // BLOCKS * BLOCK_M + tl.arange(0, BLOCK_M)
    n = (tl.program_id(0) % BLOCKS * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    mask = (m < pixels)[:, None] & (n < C)
    pixel = m.to(tl.int64)[:, None]
    row = m // width % height
    col = m % width
    image = (m // width // height).to(tl.int64) * x_height
    if HALVE:
        value = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for dy in tl.static_range(2):
            for dx in tl.static_range(2):
                line = image + tl.minimum(2 * row + dy, x_height - 1)
                at = line * x_width + tl.minimum(2 * col + dx, x_width - 1)
                value += samples(x, at[:, None] * X_STRIDE + n, mask)
        value *= 0.25
    elif BILINEAR:
        y_place = (row.to(tl.float32) + 0.5) / FACTOR - 0.5
        x_place = (col.to(tl.float32) + 0.5) / FACTOR - 0.5
        top, left = tl.floor(y_place).to(tl.int32), tl.floor(x_place).to(tl.int32)
        below, right = y_place - top, x_place - left
        value = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for dy in tl.static_range(2):
            for dx in tl.static_range(2):
                line = image + tl.minimum(tl.maximum(top + dy, 0), x_height - 1)
                at = line * x_width + tl.minimum(tl.maximum(left + dx, 0), x_width - 1)
                weight = (below if dy else 1 - below) * (right if dx else 1 - right)
                value += weight[:, None] * samples(x, at[:, None] * X_STRIDE + n, mask)
    elif FACTOR > 1 or CROP:
        at = ((image + row // FACTOR) * x_width + col // FACTOR)[:, None] * X_STRIDE
        if SHUFFLE:
            inner = (row % FACTOR * FACTOR + col % FACTOR)[:, None]
            value = samples(x, at + n * (FACTOR * FACTOR) + inner, mask)
        else:
            value = samples(x, at + n, mask)
    else:
        value = samples(x, pixel * X_STRIDE + n, mask)
    if y is not None:
        other = samples(y, pixel * C + n, mask)
        if PRODUCT:
            value *= other
        else:
            value += other
    rough: tl.constexpr = out.dtype.element_ty == tl.bfloat16
    if ACTIVATION == "prelu":
        value = activate(value, tl.load(slopes + n), ACTIVATION, SLOPE, rough)
    else:
        value = activate(value, None, ACTIVATION, SLOPE, rough)
    value = value * SCALE + OFFSET
    store(out, pixel * OUT_STRIDE + n, value, mask, not_finite, CLAMP)


@dataclass(frozen=True)
class Move:
    """What happens on the way from x to out; see the kernel."""

    factor: int = 1
    shuffle: bool = False
    bilinear: bool = False
    halve: bool = False
    crop: bool = False
    product: bool = False
    activation: str = "none"
    slope: float = 0.0
    scale: float = 1.0
    offset: float = 0.0


def launch(
    name: str,
    x: Array,
    out: Array,
    move: Move = Move(),
    *,
    y: Array | None = None,
    slopes: Array | None = None,
    channels: int = 0,
    flag: Array | None = None,
    clamp: bool = False,
) -> Launch:
    """x to out, `channels` of each if they are fewer than out's; y is of as many."""
    c = channels or out.channels
    block_n = min(MOST_COLUMNS, int(triton.next_power_of_2(c)))
    _, h, w, _ = out.shape
    arguments: dict[str, Argument] = {
        "x": x, "y": y, "slopes": slopes, "out": out, "not_finite": flag, "pixels": out.pixels,
        "height": h, "width": w, "x_height": x.shape[1], "x_width": x.shape[2],
    }  # fmt: skip
    constants = {field.upper(): value for field, value in vars(move).items()}
    constants |= {"C": c, "X_STRIDE": x.channels, "OUT_STRIDE": out.channels, "CLAMP": clamp}
    constants |= {"BLOCK_M": BLOCK_M, "BLOCK_N": block_n}
    kinds = "_".join(a.kind for a in (x, out))
    grid = cdiv(out.pixels, BLOCK_M) * -(-c // block_n)
    return Launch(f"{name}_c{c}_{kinds}", elementwise_kernel, (grid,), arguments, constants)


def _last(step: Step) -> dict[str, Any]:
    return {"flag": step.flag, "clamp": step.clamp}


def _given(step: Step) -> list[Array]:
    return [x for x in step.read if x is not None]


def combined(step: Step) -> list[Launch]:
    """`sum` and `product`: two at a time, the last with what follows."""
    product = step.operation.kind == "product"
    x, *others = _given(step)
    if any(y.channels != step.out.channels for y in (x, *others)):
        step.refuse("an input of one channel counts for all")
    found = []
    if len(others) > 1:
        between = step.scratch(step.out, step.out.channels)
        for y in others[:-1]:
            found.append(launch(step.operation.kind, x, between, Move(product=product), y=y))
            x = between
    move, slopes = Move(product=product), None
    if not product:
        a = step.activation()
        offset = float(step.settings["offset"])
        move = Move(activation=a["ACTIVATION"], slope=a["SLOPE"], scale=a["SCALE"], offset=offset)
    if "slopes" in step.tensors:
        more = -step.out.channels % MOST_COLUMNS
        slopes = step.pack(lambda: {"slopes": F.pad(step.tensors["slopes"], (0, more))})["slopes"]
    y = others[-1] if others else None
    last = launch(
        step.operation.kind, x, step.out, move, y=y, slopes=slopes, **_last(step)
    )  # fmt: skip
    return [*found, last]


def concatenated(step: Step) -> list[Launch]:
    """`concatenate`: each input to its channels of the result."""
    found, first = [], 0
    for x in _given(step):
        target = step.out + first
        found.append(launch("concatenate", x, target, channels=x.channels, **_last(step)))
        first += x.channels
    return found


def moved(step: Step) -> Launch:
    """`slice`, `pixel_shuffle`, `nearest`, `bilinear`, `halve` and `crop`."""
    x, kind, a = _given(step)[0], step.operation.kind, step.settings
    move = Move(
        a.get("factor", 1),
        shuffle=kind == "pixel_shuffle",
        bilinear=kind == "bilinear",
        halve=kind == "halve",
        crop=kind == "crop",
    )
    return launch(kind, x + a.get("first", 0), step.out, move, **_last(step))


def between_samples_and_features(
    x: Array, out: Array, flag: Array | None = None, clamp: bool = False
) -> Launch:
    """What comes in to features, or the other way round, with a flag."""
    name = "input" if x.kind in SAMPLES else "output"
    return launch(name, x, out, flag=flag, clamp=clamp)
