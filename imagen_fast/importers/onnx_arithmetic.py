"""ONNX operators that compute each number of its own, or rearrange numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.graph.activations import UNLIMITED
from imagen_fast.importers import layout
from imagen_fast.importers.assembly import Assembly
from imagen_fast.importers.layout import Part, View
from imagen_fast.importers.onnx_trace import Call, Operator, per_channel, through


def _function(name: str, **parameters: float) -> Operator:
    def run(call: Call) -> View:
        return through(call, call.view(), lambda x: call.a.function(x, name, **parameters))

    return run


def _leaky(call: Call) -> View:
    slope = float(call.attribute("alpha", 0.01))
    return through(call, call.view(), lambda x: call.a.function(x, "leaky_relu", slope=slope))


def _elu(call: Call) -> View:
    slope = float(call.attribute("alpha", 1.0))
    return through(call, call.view(), lambda x: call.a.function(x, "elu", slope=slope))


def _selu(call: Call) -> View:
    slope = float(call.attribute("alpha", 1.67326319217681884765625))
    gamma = float(call.attribute("gamma", 1.05070102214813232421875))
    return through(call, call.view(), lambda x: call.a.function(x, "elu", slope=slope, scale=gamma))


def _prelu(call: Call) -> View:
    x, slopes = per_channel(call, call.view(), call.needed(1))
    if slopes.size == 1:
        slope = slopes.item()
        return through(call, x, lambda name: call.a.function(name, "leaky_relu", slope=slope))
    return through(
        call,
        x,
        lambda name: call.a.add("sum", name, activation="prelu", tensors={"slopes": slopes}),
    )


def _hard_sigmoid(call: Call) -> View:
    alpha, beta = float(call.attribute("alpha", 0.2)), float(call.attribute("beta", 0.5))
    return through(
        call, call.view(), lambda x: clamped(call.a, call.a.affine(x, alpha, beta), 0, 1)
    )


def _gelu(call: Call) -> View:
    name = "gelu_tanh" if call.attribute("approximate", "none") == "tanh" else "gelu"
    return through(call, call.view(), lambda x: call.a.function(x, name))


def _swish(call: Call) -> View:
    if float(call.attribute("alpha", 1.0)) != 1.0:
        raise OperationError("its alpha is not 1")
    return through(call, call.view(), lambda x: call.a.function(x, "silu"))


def _clip(call: Call) -> View:
    bounds = []
    for place, (name, default) in enumerate((("min", -UNLIMITED), ("max", UNLIMITED)), 1):
        x = call.constant(place)
        value = call.attribute(name, default) if x is None else x.item()
        bounds.append(min(max(float(value), -UNLIMITED), UNLIMITED))
    return through(call, call.view(), lambda x: clamped(call.a, x, *bounds))


def clamped(a: Assembly, x: str, low: float, high: float) -> str:
    """Numbers from low to high."""
    if (low, high) == (0, UNLIMITED):
        return a.function(x, "relu")
    if (low, high) == (-UNLIMITED, UNLIMITED):
        return x
    return a.function(x, "clamp", low=float(low), high=float(high))


def _pow(call: Call) -> View:
    x, exponents = per_channel(call, call.view(), call.needed(1))
    if exponents.size > 1:
        raise OperationError("exponents that differ between channels")
    exponent = exponents.item()
    names = {1.0: "none", 2.0: "square", 0.5: "sqrt", -1.0: "reciprocal"}
    if name := names.get(exponent):
        return through(call, x, lambda y: call.a.function(y, name))
    return through(call, x, lambda y: call.a.function(y, "power", exponent=exponent))


def _arithmetic(call: Call) -> View:
    """Add, Sub, Mul and Div, of two values or of a value and a constant."""
    kind = call.node.kind
    x, y = call.given(0), call.given(1)
    if isinstance(x, View) and isinstance(y, View):
        if kind == "Div":
            y = through(call, y, lambda name: call.a.function(name, "reciprocal"))
        return combined(call, "product" if kind in ("Mul", "Div") else "sum", [x, y], kind == "Sub")
    turned = not isinstance(x, View)  # the constant comes first
    value, constant = (y, x) if turned else (x, y)
    assert isinstance(value, View)
    assert isinstance(constant, np.ndarray)
    if value.times != 1 and kind in ("Mul", "Div") and constant.size == 1 and not turned:
        number = float(constant.item())
        times = value.times * (number if kind == "Mul" else 1 / number)
        return replace(value, times=1.0 if abs(times - 1) < 1e-6 else times)
    value, numbers = per_channel(call, value, constant)
    a = call.a
    if kind == "Div" and turned:
        value = through(call, value, lambda name: a.function(name, "reciprocal"))
    if kind in ("Mul", "Div"):
        scale = numbers if kind == "Mul" or turned else 1 / numbers
        return replace(value, name=a.affine(value.name, scale, 0.0))
    if turned and kind == "Sub":
        return replace(value, name=a.affine(value.name, -1.0, numbers))
    return replace(value, name=a.affine(value.name, 1.0, numbers if kind == "Add" else -numbers))


def combined(call: Call, kind: str, views: list[View], minus: bool = False) -> View:
    """Values of one layout, or of one channel or one pixel in it, summed or multiplied."""
    views = [layout.ready(call.a, x) for x in views]
    length = max(len(x.dims) for x in views)
    views = [replace(x, dims=((),) * (length - len(x.dims)) + x.dims) for x in views]
    dims = []
    for together in zip(*(x.dims for x in views), strict=True):
        kinds = {dim for dim in together if dim and not layout.is_repeated(dim)}
        kinds = kinds or {dim for dim in together if dim}
        if len(kinds) > 1:
            if any(len(x.dims) != 4 for x in views):
                raise OperationError("its inputs are laid out differently")
            standard = [layout.standard(call.a, x) for x in views]
            if [x.dims for x in standard] == [x.dims for x in views]:
                raise OperationError("its inputs are of different sizes")
            return combined(call, kind, standard, minus)
        dims.append(kinds.pop() if kinds else ())
    names = [x.name for x in views]
    a = call.a
    name = a.total(names, int(minus)) if kind == "sum" else a.add(kind, *names)
    return View(name, tuple(dims))


def _many(call: Call) -> View:
    """Sum, Mean, Min and Max of any number of values; constants bound them."""
    kind, a = call.node.kind, call.a
    views = [x for x in call.inputs if isinstance(x, View)]
    constants = [x for x in call.inputs if isinstance(x, np.ndarray)]
    if kind in ("Sum", "Mean"):
        if constants:
            raise OperationError("a constant among what it adds")
        total = combined(call, "sum", views)
        scale = 1 / len(views) if kind == "Mean" else 1.0
        return replace(total, name=a.affine(total.name, scale, 0.0))
    sign = 1 if kind == "Max" else -1
    result = layout.ready(a, views[0])
    for x in views[1:]:
        more = combined(call, "sum", [x, result] if sign > 0 else [result, x], minus=True)
        more = through(call, more, lambda name: a.function(name, "relu"))
        result = combined(call, "sum", [result, more], minus=sign < 0)
    for constant in constants:
        result, bound = per_channel(call, result, constant)
        if bound.size > 1:
            raise OperationError("bounds that differ between channels")
        low, high = (bound.item(), UNLIMITED) if sign > 0 else (-UNLIMITED, bound.item())
        result = replace(result, name=clamped(a, result.name, low, high))
    return result


def _negative(call: Call) -> View:
    return through(call, call.view(), lambda x: call.a.affine(x, -1.0, 0.0))


def _identity(call: Call) -> View:
    return call.view()


def _cast(call: Call) -> View:
    if call.attribute("to", 1) not in (1, 10, 11, 16):
        raise OperationError("it makes whole numbers of a picture")
    return call.view()


# Layouts


def _reshape(call: Call) -> View:
    x = layout.ready(call.a, call.view())
    shape = call.numbers("shape", 1) or []
    if not call.attribute("allowzero", 0):
        shape = [x.shape[i] if side == 0 else side for i, side in enumerate(shape)]
    return layout.reshaped(x, _with_rest(shape, x))


def _with_rest(shape: list[int], x: View) -> list[int]:
    """-1 in its place."""
    if shape.count(-1) > 1 or len(shape) > 16:
        raise OperationError(f"a shape of {shape[:8]}")
    known = int(np.prod([side for side in shape if side != -1], dtype=np.int64))
    return [int(np.prod(x.shape)) // max(1, known) if side == -1 else side for side in shape]


def _flatten(call: Call) -> View:
    x = layout.ready(call.a, call.view())
    axis = call.attribute("axis", 1) % (len(x.dims) + 1)
    head = int(np.prod(x.shape[:axis], dtype=np.int64))
    return layout.reshaped(x, _with_rest([head, -1], x))


def _transpose(call: Call) -> View:
    x = layout.ready(call.a, call.view())
    return layout.transposed(x, call.numbers("perm") or list(range(len(x.dims)))[::-1])


def _squeeze(call: Call) -> View:
    x = layout.ready(call.a, call.view())
    axes = call.numbers("axes", 1)
    if axes is None:
        axes = [i for i, dim in enumerate(x.dims) if not dim]
    gone = {axis % len(x.dims) for axis in axes}
    if any(x.dims[i] for i in gone):
        raise OperationError("it drops a dimension that is larger than 1")
    return replace(x, dims=tuple(dim for i, dim in enumerate(x.dims) if i not in gone))


def _unsqueeze(call: Call) -> View:
    x = layout.ready(call.a, call.view())
    axes = call.numbers("axes", 1) or []
    length = len(x.dims) + len(axes)
    new = {axis % length for axis in axes}
    rest = iter(x.dims)
    return replace(x, dims=tuple(() if i in new else next(rest) for i in range(length)))


# Channels


def channel_dim(x: View, channels: int) -> int:
    """Which dimension goes over all our channels in order. Raises OperationError: none does."""
    whole = (Part("C", channels),) if channels > 1 else ()
    places = [i for i, dim in enumerate(x.dims) if dim == whole]
    if channels == 1:
        places = [len(x.dims) - 3]
    if len(places) != 1 or places[0] < 0:
        raise OperationError("its channels do not lie in order")
    return places[0]


def _with_channels(x: View, place: int, name: str, channels: int) -> View:
    dims = list(x.dims)
    dims[place] = (Part("C", channels),) if channels > 1 else ()
    return View(name, tuple(dims))


def _concat(call: Call) -> View:
    views = [layout.filled(call.a, call.view(i)) for i in range(len(call.inputs))]
    axis = call.attribute("axis", 1) % len(views[0].dims)
    a = call.a
    for x in views:
        if channel_dim(x, a.channels(x.name)) != axis:
            raise OperationError(f"it joins along dimension {axis}, which is not the channels'")
    name = a.concatenate([x.name for x in views])
    return _with_channels(views[0], axis, name, a.channels(name))


def _split(call: Call) -> list[View]:
    x = layout.filled(call.a, call.view())
    channels = call.a.channels(x.name)
    place = channel_dim(x, channels)
    if call.attribute("axis", 0) % len(x.dims) != place:
        raise OperationError("it splits rows or columns; expected channels")
    count = len(call.node.outputs)
    sizes = call.numbers("split", 1)
    if sizes is None:
        each = -(-channels // count)
        sizes = [min(each, channels - i * each) for i in range(count)]
    if sum(sizes) != channels or len(sizes) != count or min(sizes) < 1:
        raise OperationError(f"it splits {channels} channels into {sizes[:16]}")
    starts = np.cumsum([0, *sizes[:-1]])
    return [
        _with_channels(x, place, call.a.cut(x.name, int(first), size), size)
        for first, size in zip(starts, sizes, strict=True)
    ]


def _slice(call: Call) -> View:
    x = layout.filled(call.a, call.view())
    starts, ends = call.numbers("starts", 1) or [], call.numbers("ends", 2) or []
    axes = call.numbers("axes", 3) or list(range(len(starts)))
    steps = call.numbers("steps", 4) or [1] * len(starts)
    shape = x.shape
    rows_cut: dict[int, tuple[int, int]] = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis %= len(shape)
        low, high, step = slice(start, end, step).indices(shape[axis])
        if (low, high, step) == (0, shape[axis], 1):
            continue
        channels = call.a.channels(x.name)
        if step != 1 or high <= low:
            raise OperationError(f"it takes every {step}th, from {low} to {high}")
        if axis == channel_dim(x, channels):
            name = call.a.cut(x.name, low, high - low)
            x = _with_channels(x, axis, name, high - low)
        else:
            rows_cut[axis] = low, shape[axis] - high
    if not rows_cut:
        return x
    x = layout.standard(call.a, x)
    cut = {side for sides in rows_cut.values() for side in sides}
    if rows_cut.keys() != {2, 3} or len(cut) > 1:
        raise OperationError(f"it crops {rows_cut}; expected as much on every side")
    return call.picture(call.a.pad(x.name, -cut.pop(), "zero"))


def _scatter(call: Call) -> View:
    """Channels in the place of others: what assigning to a slice becomes."""
    x, new, a = call.standard(), call.standard(2), call.a
    channels, count, places = a.channels(x.name), a.channels(new.name), call.needed(1)
    first = int(places.ravel()[1]) if places.size > 1 else 0
    last = first + count
    expected = np.stack([np.zeros(count), np.arange(first, last)], -1)[None]
    if not np.array_equal(places, expected) or call.attribute("reduction", "none") != "none":
        raise OperationError("it replaces something else than channels side by side")
    if first < 0 or last > channels or new.shape[2:] != x.shape[2:]:
        raise OperationError(f"it replaces channels {first} to {last - 1} of {x.shape}")
    around = [(0, first), (last, channels - last)]
    before, after = ([a.cut(x.name, *part)] if part[1] else [] for part in around)
    return call.picture(a.concatenate([*before, new.name, *after]))


def _tile(call: Call) -> View:
    x = layout.ready(call.a, call.view())
    return layout.filled(call.a, layout.tiled(x, call.numbers("repeats", 1) or []))


def _expand(call: Call) -> View:
    x = call.view()
    if x.pending:
        layout.ready(call.a, x)  # which says what is pending
    return layout.expanded(x, call.numbers("shape", 1) or [])


ARITHMETIC: dict[str, Operator] = {
    "Relu": _function("relu"),
    "Sigmoid": _function("sigmoid"),
    "Tanh": _function("tanh"),
    "Softplus": _function("softplus"),
    "HardSwish": _function("hard_swish"),
    "Mish": _function("mish"),
    "Abs": _function("abs"),
    "Sqrt": _function("sqrt"),
    "Exp": _function("exp"),
    "Log": _function("log"),
    "Erf": _function("erf"),
    "Reciprocal": _function("reciprocal"),
    "LeakyRelu": _leaky,
    "Elu": _elu,
    "Selu": _selu,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Swish": _swish,
    "Clip": _clip,
    "Pow": _pow,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("Sum", "Mean", "Min", "Max"), _many),
    "Neg": _negative,
    **dict.fromkeys(("Identity", "Dropout"), _identity),
    "Cast": _cast,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "ScatterND": _scatter,
    "Tile": _tile,
    "Expand": _expand,
}
