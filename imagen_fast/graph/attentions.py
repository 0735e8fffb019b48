"""Kinds of attention, within windows and over the whole picture."""

from __future__ import annotations

from collections.abc import Mapping

from imagen_fast.errors import SpecError
from imagen_fast.graph.kind import (
    EVERYTHING,
    Flag,
    Interval,
    Kind,
    Range,
    Read,
    Settings,
    Shapes,
    Whole,
    first,
    second,
)
from imagen_fast.graph.operation import MAX_CHANNELS, Value


def _windows(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    """The windows of attention that hold the pixels, where keys are read."""
    keys = 0 if second(x) is None else 1
    if place != keys:
        return pixels
    window, shift = a["window"], a["shift"]
    low, high = ((end + shift) // window * window - shift for end in pixels)
    return low, high + window - 1


def _everywhere(a: Settings, x: Read, pixels: Interval, place: int) -> Interval:
    return EVERYTHING if place == (0 if second(x) is None else 1) else pixels


def _attention(a: Settings, x: Read) -> Value:
    context = second(x)
    if first(x).channels % a["head_dim"]:
        raise SpecError(f"{first(x).channels} channels; expected a multiple of head_dim")
    if a.get("plain") and (len(x) > 1 or a["head_dim"] != first(x).channels):
        raise SpecError("the listing's attention has one head and one input")
    if "window" in a:
        if a["window"] % 2:
            raise SpecError(f"window is {a['window']}; expected an even number")
        if a["shift"] not in (0, a["window"] // 2):
            raise SpecError(f"shift is {a['shift']}; expected 0 or half a window")
        if context is not None and context != first(x):
            raise SpecError(f"its context is {context}; expected {x[0]}")
    elif context is not None and context.channels != first(x).channels:
        raise SpecError(f"its context has {context.channels} channels; expected as many as x")
    return first(x)


def _projections(a: Settings, x: Read, y: Value) -> Shapes:
    """Queries, and keys above values; with a temperature for each head."""
    c = first(x).channels
    shapes: Shapes = {"q": (c, c), "kv": (2 * c, c), "temperature": (c // a["head_dim"],)}
    return shapes | ({"position": (a["window"] ** 2, c)} if "window" in a else {})


def _attention_tensors(a: Settings, x: Read, y: Value) -> Shapes:
    c = y.channels
    if not a.get("plain"):
        return _projections(a, x, y) | {"proj": (c, c)}
    matrices = dict.fromkeys(("q", "k", "v", "proj"), (c, c))
    return matrices | dict.fromkeys(("q_bias", "k_bias", "v_bias", "proj_bias"), (c,))


def _map(a: Settings, x: Read) -> Value:
    value = _attention(a, x)
    return Value(value.channels // a["head_dim"] * a["window"] ** 2, value.grid)


def _window_flops(a: Settings, x: Read, y: Value) -> float:
    c, window = first(x).channels, a["window"]
    assert isinstance(window, int)
    return 8.0 * c * c + 4.0 * c * window**2


_HEADS: dict[str, Range] = {"head_dim": (Whole(1, MAX_CHANNELS), None)}
_WINDOW: dict[str, Range] = {**_HEADS, "window": (Whole(2, 64), None), "shift": (Whole(0, 32), 0)}

ATTENTIONS: Mapping[str, Kind] = {
    # x + proj(attention(x, context or x)) + added, within windows (models/blocks.py).
    "window_attention": Kind(
        ("x", "context?", "added*"),
        _WINDOW,
        _attention,
        _attention_tensors,
        _windows,
        _window_flops,
    ),
    # x + proj(attention(x, context or x)) + added over the whole picture; `plain` as the article's
    # listing has it: no x +, no norms, a ReLU before the softmax.
    "global_attention": Kind(
        ("x", "context?", "added*"),
        {**_HEADS, "plain": (Flag(), False)},
        _attention,
        _attention_tensors,
        _everywhere,
        lambda a, x, y: 8.0 * y.channels**2,  # and 4 · channels for each key
    ),
    # The probabilities of window attention: for each pixel, heads · window² of them, those of one
    # head side by side; 0 for keys outside the picture.
    "attention_map": Kind(
        ("x", "context?"),
        _WINDOW,
        _map,
        _projections,
        _windows,
        _window_flops,
    ),
}
