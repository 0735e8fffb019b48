"""What is computed value by value, or only moved: sums, products, parts, sizes, borders."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
import triton
import triton.language as tl

from imagen_fast.graph.convolutions import before

from .epilogue import ACTIVATIONS, FUNCTIONS, activate, samples, store
from .launch import SAMPLES, Argument, Array, Launch
from .size import cdiv
from .step import Step

BLOCK_M, MOST_COLUMNS = 32, 128


@triton.jit
def within(place, size, BORDER: tl.constexpr):
    """The pixel that stands for one beyond the border: the outermost (edge), mirrored (reflect)."""
    if BORDER == "edge":
        place = tl.minimum(tl.maximum(place, 0), size - 1)
    elif BORDER == "reflect":  # to and fro between the ends
        period = tl.maximum(2 * (size - 1), 1)
        place = (place % period + period) % period
        place = tl.minimum(place, period - place)
    return place


@triton.jit
def same_place(pixel, image, n, STRIDE: tl.constexpr, ONE: tl.constexpr):
    """Of one pixel, or of one channel, for all."""
    channel = n if STRIDE > 1 else 0 * n
    return (image if ONE else pixel) * STRIDE + channel


@triton.jit(do_not_specialize=["pixels", "height", "width", "x_height", "x_width"])
def elementwise_kernel(
    x,  # (N, x_height, x_width, X_STRIDE), features, uint8 or fp32
    y,  # (N, height, width, Y_STRIDE), or None
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
    Y_STRIDE: tl.constexpr,
    OUT_STRIDE: tl.constexpr,
    X_ONE: tl.constexpr,  # x has one pixel, for all
    Y_ONE: tl.constexpr,
    HOW: tl.constexpr,  # x becomes the result, see `Move`
    FACTOR: tl.constexpr,
    FIRST: tl.constexpr,
    BORDER: tl.constexpr,
    COMBINED: tl.constexpr,  # with y
    ACTIVATION: tl.constexpr,
    SLOPE: tl.constexpr,
    SCALE: tl.constexpr,
    OFFSET: tl.constexpr,
    LOW: tl.constexpr,  # of clamp
    HIGH: tl.constexpr,
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
    image = (m // width // height).to(tl.int64)
    line = image * x_height
    if HOW == "halve":
        value = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for dy in tl.static_range(2):
            for dx in tl.static_range(2):
                at = (line + tl.minimum(2 * row + dy, x_height - 1)) * x_width
                at += tl.minimum(2 * col + dx, x_width - 1)
                value += samples(x, at[:, None] * X_STRIDE + n, mask)
        value *= 0.25
    elif HOW == "bilinear":
        y_place = (row.to(tl.float32) + 0.5) / FACTOR - 0.5
        x_place = (col.to(tl.float32) + 0.5) / FACTOR - 0.5
        top, left = tl.floor(y_place).to(tl.int32), tl.floor(x_place).to(tl.int32)
        below, right = y_place - top, x_place - left
        value = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
        for dy in tl.static_range(2):
            for dx in tl.static_range(2):
                at = (line + within(top + dy, x_height, "edge")) * x_width
                at += within(left + dx, x_width, "edge")
                weight = (below if dy else 1 - below) * (right if dx else 1 - right)
                value += weight[:, None] * samples(x, at[:, None] * X_STRIDE + n, mask)
    elif HOW == "nearest":
        at = (line + row // FACTOR) * x_width + col // FACTOR
        value = samples(x, at[:, None] * X_STRIDE + n, mask)
    elif HOW == "pixel_shuffle":
        at = (line + row // FACTOR) * x_width + col // FACTOR
        inner = (row % FACTOR * FACTOR + col % FACTOR)[:, None]
        value = samples(x, at[:, None] * X_STRIDE + n * (FACTOR * FACTOR) + inner, mask)
    elif HOW == "pixel_unshuffle":
        inner = n % (FACTOR * FACTOR)
        y_place = row[:, None] * FACTOR + inner // FACTOR
        x_place = col[:, None] * FACTOR + inner % FACTOR
        inside = mask & (y_place < x_height) & (x_place < x_width)
        at = (line[:, None] + y_place) * x_width + x_place
        value = samples(x, at * X_STRIDE + n // (FACTOR * FACTOR), inside)
    elif HOW == "window":
        y_place = within(row + FIRST, x_height, BORDER)
        x_place = within(col + FIRST, x_width, BORDER)
        if BORDER == "zero":
            inside = (y_place >= 0) & (y_place < x_height) & (x_place >= 0) & (x_place < x_width)
            mask_x = mask & inside[:, None]
        else:
            mask_x = mask
        at = (line + y_place) * x_width + x_place
        value = samples(x, at[:, None] * X_STRIDE + n, mask_x)
    else:
        value = samples(x, same_place(pixel, image[:, None], n, X_STRIDE, X_ONE), mask)
    if y is not None:
        other = samples(y, same_place(pixel, image[:, None], n, Y_STRIDE, Y_ONE), mask)
        if COMBINED == "times":
            value *= other
        elif COMBINED == "minus":
            value -= other
        else:
            value += other
    rough: tl.constexpr = out.dtype.element_ty == tl.bfloat16
    if ACTIVATION == "prelu":
        value = activate(value, tl.load(slopes + n), ACTIVATION, SLOPE, rough)
    elif ACTIVATION == "clamp":  # which leaves NaN as it is
        value = tl.where(value < LOW, LOW, tl.where(value > HIGH, HIGH, value))
    else:
        value = activate(value, None, ACTIVATION, SLOPE, rough)
    value = value * SCALE + OFFSET
    store(out, pixel * OUT_STRIDE + n, value, mask, not_finite, CLAMP)


@dataclass(frozen=True)
class Move:
    """What happens on the way from x to out.

    Attributes:
        how: "halve", "bilinear", "nearest", "pixel_shuffle", "pixel_unshuffle" by `factor`;
            "window": the result's first pixel is x's pixel (first, first), and beyond its border
            lie zeros, or what `within` says; "": each pixel is of the same one.
        combined: then "plus", "minus" or "times" y.
    """

    how: str = ""
    factor: int = 1
    first: int = 0
    border: str = "zero"
    combined: str = "plus"
    activation: str = "none"
    slope: float = 0.0
    scale: float = 1.0
    offset: float = 0.0
    low: float = 0.0
    high: float = 0.0


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
    """x to out, `channels` of each if they are fewer than out's.

    What x and y have one pixel or one channel of counts for all.
    """
    c = channels or out.channels
    block_n = min(MOST_COLUMNS, int(triton.next_power_of_2(c)))
    _, h, w, _ = out.shape
    arguments: dict[str, Argument] = {
        "x": x, "y": y, "slopes": slopes, "out": out, "not_finite": flag, "pixels": out.pixels,
        "height": h, "width": w, "x_height": x.shape[1], "x_width": x.shape[2],
    }  # fmt: skip
    constants = {field.upper(): value for field, value in vars(move).items()}
    constants |= {"C": c, "X_STRIDE": x.channels, "OUT_STRIDE": out.channels, "CLAMP": clamp}
    constants |= {"Y_STRIDE": y.channels if y else 1, "X_ONE": not move.how and _one(x, out)}
    constants |= {"Y_ONE": y is not None and _one(y, out), "BLOCK_M": BLOCK_M, "BLOCK_N": block_n}
    kinds = "_".join(a.kind for a in (x, out))
    grid = cdiv(out.pixels, BLOCK_M) * -(-c // block_n)
    return Launch(f"{name}_c{c}_{kinds}", elementwise_kernel, (grid,), arguments, constants)


def _one(x: Array, out: Array) -> bool:
    """Whether it is a single pixel, and not the result's."""
    return x.shape[1:3] == (1, 1) != out.shape[1:3]


def _last(step: Step) -> dict[str, Any]:
    return {"flag": step.flag, "clamp": step.clamp}


def combined(step: Step) -> list[Launch]:
    """`sum` and `product`: two at a time, the last with what follows."""
    kind, a = step.operation.kind, step.settings
    x, *others = step.all_given
    how = ["times" if kind == "product" else "plus"] * len(others)
    if minus := a.get("minus", 0):
        how[-minus:] = ["minus"] * minus
    found = []
    if len(others) > 1:
        between = step.scratch(step.out.shape)
        for y, with_ in zip(others[:-1], how, strict=False):
            found.append(launch(kind, x, between, Move(combined=with_), y=y))
            x = between
    move, slopes = Move(combined=how[-1] if how else "plus"), None
    if kind == "sum":
        if (activation := a["activation"]) not in (*ACTIVATIONS, *FUNCTIONS):
            step.refuse(f"activation {activation!r}")
        slope = a["exponent" if activation == "power" else "slope"]
        numbers: dict[str, Any] = {
            name: float(a[name]) for name in ("scale", "offset", "low", "high")
        }
        move = replace(move, activation=activation, slope=float(slope), **numbers)
    if "slopes" in step.tensors:
        more = -step.out.channels % MOST_COLUMNS
        slopes = step.pack(lambda: {"slopes": F.pad(step.tensors["slopes"], (0, more))})["slopes"]
    y = others[-1] if others else None
    return [*found, launch(kind, x, step.out, move, y=y, slopes=slopes, **_last(step))]


def concatenated(step: Step) -> list[Launch]:
    """`concatenate`: each input to its channels of the result."""
    found, first = [], 0
    for x in step.all_given:
        target = step.out + first
        found.append(launch("concatenate", x, target, channels=x.channels, **_last(step)))
        first += x.channels
    return found


def moved(step: Step) -> Launch:
    """`halve`, and what only moves values."""
    x, kind, a = step.all_given[0], step.operation.kind, step.settings
    if kind == "slice":
        return launch(kind, x + a["first"], step.out, **_last(step))
    move = Move(kind, a.get("factor", 1))
    if kind == "crop":
        move = Move("window", first=a["margin"])
    elif kind == "pad":
        move = Move("window", first=-a["margin"], border=a["padding"])
    return launch(kind, x, step.out, move, **_last(step))


def bordered(step: Step, x: Array) -> tuple[list[Launch], Array, int]:
    """For a convolution: what comes before it; what it reads, beyond which lie zeros; and how many
    pixels before the result's the first tap lies there.
    """
    border, kernel = step.settings.get("padding", "zero"), step.settings.get("kernel", 3)
    if border in ("zero", "valid"):
        return [], x, 0 if border == "valid" else before(kernel)
    n, h, w, c = x.shape
    wider = step.scratch((n, h + kernel - 1, w + kernel - 1, c))
    move = Move("window", first=-before(kernel), border=border)
    return [launch("pad", x, wider, move)], wider, 0


def between_samples_and_features(
    x: Array, out: Array, flag: Array | None = None, clamp: bool = False
) -> Launch:
    """What comes in to features, or the other way round, with a flag."""
    name = "input" if x.kind in SAMPLES else "output"
    return launch(name, x, out, flag=flag, clamp=clamp)
