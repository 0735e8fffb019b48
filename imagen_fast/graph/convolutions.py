"""Kinds of convolutions."""

from __future__ import annotations

from collections.abc import Mapping

from imagen_fast.errors import SpecError
from imagen_fast.graph import activations
from imagen_fast.graph.kind import (
    CHANNELS,
    FACTOR,
    Flag,
    Interval,
    Kind,
    Read,
    Settings,
    Shapes,
    Whole,
    Word,
    first,
    second,
)
from imagen_fast.graph.operation import MAX_CHANNELS, Value

MAX_KERNEL = 31
BORDERS = ("zero", "reflect", "edge")  # what lies around a picture: numpy's constant, reflect, edge


def before(kernel: int) -> int:
    """By how many pixels a kernel's first tap lies before the pixel that it computes."""
    return (kernel - 1) // 2


def _convolution(a: Settings, x: Read) -> Value:
    grid = first(x).grid
    if a["padding"] == "valid":
        if a["stride"] == 2 or a["kernel"] % 2 == 0:
            raise SpecError("padding is valid for a stride of 1 and odd kernels alone")
        grid = grid.widened(-(a["kernel"] // 2))
    if a["depthwise"] and a["channels"] != first(x).channels:
        raise SpecError(f"{a['channels']} channels; expected {first(x).channels}, as x has them")
    return Value(a["channels"], grid.halved() if a["stride"] == 2 else grid)


def _tensors(a: Settings, x: Read, y: Value) -> Shapes:
    out = y.channels * a.get("factor", 1) ** 2
    inner = 1 if a.get("depthwise") else first(x).channels
    shapes = {"weight": (out, inner, a["kernel"], a["kernel"]), "bias?": (out,)}
    return shapes | ({"slopes": (out,)} if a.get("activation") == "prelu" else {})


def reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    """The pixels under the kernel."""
    low, high = pixels
    if place > 0:
        return pixels
    start = before(a["kernel"])
    return a["stride"] * low - start, a["stride"] * high - start + a["kernel"] - 1


def _flops(a: Settings, x: Read, y: Value) -> float:
    kernel: int = a["kernel"]
    return 2.0 * (1 if a.get("depthwise") else first(x).channels) * kernel**2 * y.channels


def _subpixel(a: Settings, x: Read) -> Value:
    base = second(x)
    if a["channels"] * a["factor"] ** 2 > MAX_CHANNELS:
        raise SpecError(f"more than {MAX_CHANNELS} channels before the shuffle")
    if base is not None and base != Value(a["channels"], first(x).grid):
        raise SpecError(f"its base is {base}; expected {a['channels']} channels, as x lies")
    return Value(a["channels"], first(x).grid.enlarged(a["factor"]))


def _subpixel_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    border = 0 if place else a["kernel"] // 2
    return pixels[0] // a["factor"] - border, pixels[1] // a["factor"] + border


def _transposed(a: Settings, x: Read) -> Value:
    skip = second(x)
    if a["kernel"] % 2:
        raise SpecError(f"kernel is {a['kernel']}; expected an even number")
    if skip is None:
        return Value(a["channels"], first(x).grid.enlarged(2))
    if skip.grid.halved() != first(x).grid:
        raise SpecError(f"its input lies on {first(x).grid}; expected half of {skip.grid}")
    return Value(a["channels"], skip.grid)  # cropped to the skip


def _transposed_reads(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    if place:
        return pixels
    beyond = before(a["kernel"])
    return (pixels[0] - beyond) // 2, (pixels[1] + beyond) // 2


CONVOLUTIONS: Mapping[str, Kind] = {
    # scale · activation(conv(x) + bias) + added. With stride s pixel i is computed of x's pixels
    # s·i - (kernel - 1) // 2 and following; beyond the border they are zeros, mirrored without the
    # outermost one (reflect) or the outermost one (edge), and valid computes only the pixels that
    # need none: (kernel - 1) / 2 fewer on each side. With stride 2 an odd side counts as completed.
    # Depthwise: each channel is computed of its own alone.
    "convolution": Kind(
        ("x", "added*"),
        {
            "channels": CHANNELS,
            "kernel": (Whole(1, MAX_KERNEL), None),
            "stride": (Whole(1, 2), 1),
            "padding": (Word((*BORDERS, "valid")), "zero"),
            "depthwise": (Flag(), False),
            **activations.settings(activations.ACTIVATIONS),
        },
        _convolution,
        _tensors,
        reads,
        _flops,
    ),
    # pixel_shuffle(conv(x) + bias) + base, each of its pixels factor² times (Shi et al. 2016,
    # arXiv:1609.05158).
    "subpixel_convolution": Kind(
        ("x", "base?"),
        {"channels": CHANNELS, "kernel": (Whole(3, 3), 3), "factor": FACTOR},
        _subpixel,
        _tensors,
        _subpixel_reads,
        _flops,
    ),
    # Transposed convolution of an even kernel and stride 2 + bias + skip. Pixel i adds to the
    # pixels 2·i - (kernel - 2) / 2 and following of a result of twice the size, or cropped to the
    # skip.
    "transposed_convolution": Kind(
        ("x", "skip?"),
        {"channels": CHANNELS, "kernel": (Whole(2, 8), 2)},
        _transposed,
        lambda a, x, y: {
            "weight": (first(x).channels, y.channels, a["kernel"], a["kernel"]),
            "bias?": (y.channels,),
        },
        _transposed_reads,
        lambda a, x, y: 0.5 * first(x).channels * y.channels * a["kernel"] ** 2,
        same=("skip",),
    ),
}
