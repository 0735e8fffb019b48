"""The kinds of operations that there are kernels for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from imagen_fast.graph.kinds import KINDS

from . import (
    attention,
    attention_map,
    conv3x3,
    down,
    elementwise,
    linear,
    stem,
    up,
    window_attention,
)
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
    if step.settings["depthwise"]:
        step = _dense(step)
    kernel, stride = step.settings["kernel"], step.settings["stride"]
    if (kernel, stride) == (3, 1):
        return stem.stem(step) if _is_stem(step) else conv3x3.convolution(step)
    if (kernel, stride) == (2, 2):
        return down.down(step)
    if (kernel, stride) == (1, 1):
        return linear.linear(step)
    return step.refuse(f"kernel {kernel} with stride {stride}")


def _dense(step: Step) -> Step:
    """A depthwise convolution of a few channels as one of all of them."""
    weight = step.tensors["weight"]  # (C, 1, k, k)
    channels = len(weight)
    if channels > stem.MOST_INNER:
        step.refuse(f"{channels} channels, each by itself; expected {stem.MOST_INNER} at most")
    dense = torch.eye(channels)[:, :, None, None] * weight
    return replace(step, tensors={**step.tensors, "weight": dense})


def _is_stem(step: Step) -> bool:
    return step.tensors["weight"].shape[1] <= stem.MOST_INNER


def _never(step: Step) -> bool:
    return False


ACTIVATION = frozenset({"activation", "slope", "scale"})
HEADS = frozenset({"head_dim"})

ROWS = {
    "convolution": Row(
        _convolution,
        ACTIVATION | {"channels", "kernel", "stride", "depthwise"},
        lambda step: step.settings["kernel"] == 3 and not _is_stem(step),
    ),
    "subpixel_convolution": Row(conv3x3.convolution, frozenset({"channels", "kernel", "factor"})),
    "transposed_convolution": Row(up.up, frozenset({"channels"}), _never),
    "window_attention": Row(window_attention.window_attention, HEADS | {"window", "shift"}, _never),
    "global_attention": Row(attention.global_attention, HEADS | {"plain"}, _never),
    "attention_map": Row(attention_map.attention_map, HEADS | {"window", "shift"}, _never),
    "sum": Row(elementwise.combined, ACTIVATION | {"offset"}),
    "product": Row(elementwise.combined),
    "concatenate": Row(elementwise.concatenated),
    "slice": Row(elementwise.moved, frozenset({"first", "channels"})),
    "pixel_shuffle": Row(elementwise.moved, frozenset({"factor"})),
    "nearest": Row(elementwise.moved, frozenset({"factor"})),
    "bilinear": Row(elementwise.moved, frozenset({"factor"})),
    "halve": Row(elementwise.moved),
    "crop": Row(elementwise.moved),
}


def launches_of(step: Step) -> list[Launch]:
    """An operation's launches. Raises OperationError: there is no kernel for it."""
    row = ROWS[step.operation.kind]
    for name, (_, default) in KINDS[step.operation.kind].attributes.items():
        if name not in row.attributes and step.settings[name] != default:
            step.refuse(f"{name} {step.settings[name]!r}")
    found = row.launches(step)
    return found if isinstance(found, list) else [found]
