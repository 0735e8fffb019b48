"""The kinds of operations that there are kernels for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from imagen_fast.graph.convolutions import before
from imagen_fast.graph.kinds import KINDS

from . import (
    attention,
    attention_map,
    conv,
    conv3x3,
    depthwise,
    elementwise,
    linear,
    reduce,
    stem,
    up,
    window_attention,
)
from .elementwise import Move
from .launch import Launch
from .step import Step

Launches = Launch | list[Launch]


@dataclass(frozen=True)
class Row:
    """How a kind is run.

    Attributes:
        launches: the launches of an operation. Raises OperationError: there is no kernel for it.
        attributes: those that it heeds; others must have their defaults.
        stores_samples: whether an operation of so many input channels stores a picture's samples
            itself, so that what leaves the network need not be copied.
    """

    launches: Callable[[Step], Launches]
    attributes: frozenset[str] = frozenset()
    stores_samples: Callable[[Step], bool] = lambda step: True


def _convolution(step: Step) -> Launches:
    kernel, stride = step.settings["kernel"], step.settings["stride"]
    if step.settings["depthwise"]:
        return depthwise.depthwise(step)
    if (kernel, stride) == (3, 1):
        return stem.stem(step) if _is_stem(step) else conv3x3.convolution(step)
    if (kernel, stride) == (1, 1):
        return linear.linear(step)
    return conv.convolution(step)


def _transposed(step: Step) -> Launches:
    """One of 4×4 or 6×6 is one of 3×3, two or three taps along an axis, to each of four pixels."""
    kernel = step.settings["kernel"]
    if kernel == 2:
        return up.up(step)
    if kernel > 6:
        step.refuse(f"kernel {kernel}; expected 6 at most")
    weight, first = step.tensors["weight"], before(kernel)  # (inner, C, kernel, kernel)
    inner, c = weight.shape[:2]
    shuffled = weight.new_zeros(c, 2, 2, inner, 3, 3)
    for y, x in product(range(kernel), repeat=2):  # from pixel i to pixel 2 · i + y - first
        dy, dx = (y + first) % 2, (x + first) % 2
        ty, tx = (first + 2 + dy - y) // 2, (first + 2 + dx - x) // 2
        shuffled[:, dy, dx, :, ty, tx] = weight[:, :, y, x].T
    tensors = {"weight": shuffled.flatten(0, 2)}
    if "bias" in step.tensors:
        tensors["bias"] = step.tensors["bias"].repeat_interleave(4)
    of = replace(step, tensors=tensors, settings={"factor": 2})
    skip = step.given(1)
    if skip is None:
        return conv3x3.convolution(of)
    n, h, w, _ = step.features(0).shape
    whole = step.scratch((n, 2 * h, 2 * w, c))
    of = replace(of, out=whole, read=step.read[:1])
    cropped = elementwise.launch("crop", whole, step.out, Move("window"), y=skip)
    return [*conv3x3.convolution(of), cropped]


def _is_stem(step: Step) -> bool:
    return step.tensors["weight"].shape[1] <= stem.MOST_INNER


def _never(step: Step) -> bool:
    return False


ACTIVATION = frozenset({"activation", "slope", "scale"})
HEADS = frozenset({"head_dim"})

ROWS = {
    "convolution": Row(
        _convolution,
        ACTIVATION | {"channels", "kernel", "stride", "padding", "depthwise"},
        lambda step: (
            step.settings["kernel"] == 3
            and step.settings["stride"] == 1
            and not (step.settings["depthwise"] or _is_stem(step))
        ),
    ),
    "subpixel_convolution": Row(conv3x3.convolution, frozenset({"channels", "kernel", "factor"})),
    "transposed_convolution": Row(_transposed, frozenset({"channels", "kernel"}), _never),
    "window_attention": Row(window_attention.window_attention, HEADS | {"window", "shift"}, _never),
    "global_attention": Row(attention.global_attention, HEADS | {"plain"}, _never),
    "attention_map": Row(attention_map.attention_map, HEADS | {"window", "shift"}, _never),
    "sum": Row(elementwise.combined, ACTIVATION | {"offset", "minus", "low", "high", "exponent"}),
    "product": Row(elementwise.combined),
    "reduce": Row(reduce.reduce, frozenset({"function", "over"}), _never),
    "layer_norm": Row(reduce.layer_norm, frozenset({"epsilon"}), _never),
    "concatenate": Row(elementwise.concatenated),
    "slice": Row(elementwise.moved, frozenset({"first", "channels"})),
    "pixel_shuffle": Row(elementwise.moved, frozenset({"factor"})),
    "pixel_unshuffle": Row(elementwise.moved, frozenset({"factor"})),
    "nearest": Row(elementwise.moved, frozenset({"factor"})),
    "bilinear": Row(elementwise.moved, frozenset({"factor"})),
    "halve": Row(elementwise.moved),
    "max_pool": Row(depthwise.max_pool, frozenset({"kernel", "stride"}), _never),
    "pad": Row(elementwise.moved, frozenset({"padding", "margin", "halvings"})),
    "crop": Row(elementwise.moved, frozenset({"margin", "factor"})),
}


def launches_of(step: Step) -> list[Launch]:
    """An operation's launches. Raises OperationError: there is no kernel for it."""
    row = ROWS[step.operation.kind]
    for name, (_, default) in KINDS[step.operation.kind].attributes.items():
        if name not in row.attributes and step.settings[name] != default:
            step.refuse(f"{name} {step.settings[name]!r}")
    found = row.launches(step)
    return found if isinstance(found, list) else [found]
