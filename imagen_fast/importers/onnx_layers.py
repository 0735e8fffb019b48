"""ONNX operators that read more than one pixel or channel: layers, norms, means and sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.importers import layout
from imagen_fast.importers.assembly import NO_PADS, Array, Pads
from imagen_fast.importers.layout import Dim, Part, View
from imagen_fast.importers.onnx_trace import Call, Operator
from imagen_fast.importers.resizing import CUBIC, Drawing, resize


def _pair(call: Call, name: str, default: int = 1) -> tuple[int, int]:
    values = call.numbers(name) or [default, default]
    if len(values) != 2:
        raise OperationError(f"{name} is {values[:8]}; expected two numbers")
    return values[0], values[1]


def _stride(call: Call) -> int:
    down, right = _pair(call, "strides")
    if down != right:
        raise OperationError(f"its strides are {down} and {right}; expected equal ones")
    return down


def _pads(call: Call, kernel: tuple[int, int], stride: int) -> Pads:
    auto = call.attribute("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = call.numbers("pads") or [0, 0, 0, 0]
        top, left, below, right = pads
        return top, left, below, right
    if auto == "VALID":
        return NO_PADS
    # A multiple of the stride comes in.
    total = [max(size - stride, 0) for size in kernel]
    less = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total]
    return less[0], less[1], total[0] - less[0], total[1] - less[1]


def _conv(call: Call) -> View:
    x = call.view()
    border = x.border
    x = layout.standard(call.a, replace(x, border=NO_PADS))
    weight, bias = call.needed(1), call.constant(2)
    dilations, stride = _pair(call, "dilations"), _stride(call)
    high, wide = ((n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilations, strict=True))
    pads = _pads(call, (high, wide), stride)
    top, left, below, right = (p + b for p, b in zip(pads, border, strict=True))
    pads = (top, left, below, right)
    groups = int(call.attribute("group", 1))
    return call.picture(call.a.convolution(x.name, weight, bias, stride, pads, dilations, groups))


def _conv_transpose(call: Call) -> View:
    x = call.standard()
    weight, bias = call.needed(1), call.constant(2)
    if _pair(call, "dilations") != (1, 1) or call.numbers("output_shape"):
        raise OperationError("dilated, or with an output_shape")
    stride = _stride(call)
    high, wide = weight.shape[2:]
    more = _pair(call, "output_padding", 0)
    pads = _pads(call, (high, wide), stride)
    groups = int(call.attribute("group", 1))
    return call.picture(call.a.transposed(x.name, weight, bias, stride, pads, more, groups))


def _pool(call: Call) -> View:
    x = call.standard()
    kernel, stride = _pair(call, "kernel_shape"), _stride(call)
    if kernel[0] != kernel[1] or _pair(call, "dilations") != (1, 1) or len(call.node.outputs) > 1:
        raise OperationError(f"its kernel is {kernel}, or dilated, or gives places too")
    pads = _pads(call, kernel, stride)
    rests = {(x.shape[2 + i] + pads[i] + pads[2 + i] - kernel[i]) % stride for i in (0, 1)}
    if call.attribute("ceil_mode", 0) and rests != {0}:
        raise OperationError(f"ceil_mode is 1, and takes in more than its border {pads}")
    if call.node.kind == "MaxPool":
        return call.picture(call.a.max_pool(x.name, kernel[0], stride, pads))
    if pads != NO_PADS and not call.attribute("count_include_pad", 0):
        raise OperationError("a mean that leaves out what lies beyond the border")
    return call.picture(call.a.average(x.name, kernel[0], stride, pads))


def _matrix(call: Call) -> View:
    """MatMul of a value and a matrix, over channels."""
    return _linear(call, call.view(), call.needed(1), None)


def _gemm(call: Call) -> View:
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    weight, bias = call.needed(1), call.constant(2)
    if call.attribute("transA", 0):
        raise OperationError("its picture is transposed")
    weight = alpha * (weight.T if call.attribute("transB", 0) else weight)
    return _linear(call, call.view(), weight, None if bias is None else beta * bias)


def _linear(call: Call, x: View, weight: Array, bias: Array | None) -> View:
    x = layout.filled(call.a, x)
    channels = call.a.channels(x.name)
    if weight.ndim != 2 or len(weight) != channels or any(p.axis != "C" for p in x.dims[-1]):
        raise OperationError(f"a matrix of {weight.shape} over a tensor of {x.shape}")
    order = layout.channel_indices(x.dims[-1])
    if len(order) != channels:
        raise OperationError("a matrix over some of the channels")
    matrix = np.empty(weight.T.shape)
    matrix[:, order] = weight.T
    bias = None if bias is None else np.broadcast_to(bias.ravel(), len(matrix))
    name = call.a.convolution(x.name, matrix[:, :, None, None], bias)
    dim: Dim = (Part("C", len(matrix)),) if len(matrix) > 1 else ()
    return View(name, (*x.dims[:-1], dim))


def _batch_norm(call: Call) -> View:
    x = call.standard()
    if call.attribute("training_mode", 0):
        return _picture_norm(call, x)
    scale, offset, mean, variance = (call.needed(i).astype(np.float64) for i in range(1, 5))
    factor = scale / np.sqrt(variance + float(call.attribute("epsilon", 1e-5)))
    return replace(x, name=call.a.affine(x.name, factor, offset - mean * factor))


def _instance_norm(call: Call) -> View:
    x, a = layout.filled(call.a, call.view()), call.a
    if len(x.dims) < 4 or any(part.axis == "C" for dim in x.dims[2:] for part in dim):
        return _group_norm(call, x)
    return _picture_norm(call, layout.standard(a, x))


def _picture_norm(call: Call, x: View) -> View:
    """Of each channel over the picture."""
    a = call.a
    epsilon = float(call.attribute("epsilon", 1e-5))
    mean = a.add("reduce", x.name, function="mean", over="picture")
    variance = a.add("reduce", x.name, function="variance", over="picture")
    root = a.function(a.affine(variance, 1.0, epsilon), "power", exponent=-0.5)
    normal = a.add("product", a.total([x.name, mean], minus=1), root)
    return replace(x, name=a.affine(normal, call.needed(1), call.needed(2)))


def _group_norm(call: Call, x: View) -> View:
    """Of (1, groups, channels of a group, rows and columns), as torch writes it."""
    a, rest = call.a, [part for dim in x.dims[2:] for part in dim]
    sides = [part for dim in call.picture(x.name).dims[2:] for part in dim]
    groups, inner = (
        layout.channel_indices(tuple(part for part in parts if part.axis == "C"))
        for parts in (x.dims[1], rest)
    )
    channels = (groups[:, None] + inner).ravel()
    if [part for part in rest if part.axis != "C"] != sides or len(channels) != a.channels(x.name):
        raise OperationError("it goes over parts of the picture, or of its channels")
    group = np.empty(len(channels), np.int64)
    group[channels] = np.repeat(np.arange(len(groups)), len(inner))
    scale, offset = (call.needed(place).ravel()[group] for place in (1, 2))
    return replace(x, name=a.affine(_of_groups(call, x.name, group), scale, offset))


def _group_normalization(call: Call) -> View:
    x = call.standard()
    channels, groups = call.a.channels(x.name), int(call.attribute("num_groups", 0))
    if groups < 1 or channels % groups:
        raise OperationError(f"{channels} channels in {groups} groups")
    group = np.repeat(np.arange(groups), channels // groups)
    scale, offset = call.needed(1).ravel(), call.needed(2).ravel()
    if call.trace.model.opset < 21:  # a number for each group
        scale, offset = scale[group], offset[group]
    return replace(x, name=call.a.affine(_of_groups(call, x.name, group), scale, offset))


def _of_groups(call: Call, name: str, group: Array) -> str:
    """Normalised over the picture and all channels of the same group."""
    a, same = call.a, group[:, None] == group
    together = (same / same.sum(1))[:, :, None, None]

    def mean(name: str) -> str:
        return a.convolution(a.add("reduce", name, function="mean", over="picture"), together)

    from_mean = a.total([name, mean(name)], minus=1)
    variance = mean(a.function(from_mean, "square"))
    epsilon = float(call.attribute("epsilon", 1e-5))
    root = a.function(a.affine(variance, 1.0, epsilon), "power", exponent=-0.5)
    return a.add("product", from_mean, root)


def _layer_norm(call: Call) -> View:
    x, a = layout.filled(call.a, call.view()), call.a
    axis = call.attribute("axis", -1) % len(x.dims)
    last = x.dims[-1]
    if axis != len(x.dims) - 1 or any(p.axis != "C" for p in last):
        raise OperationError("it goes over more than the channels")
    order = layout.channel_indices(last)
    if len(order) != a.channels(x.name) or len(call.node.outputs) > 1:
        raise OperationError("it goes over some of the channels")
    tensors = {}
    for place, role in ((1, "weight"), (2, "bias")):
        if (numbers := call.constant(place)) is not None:
            tensors[role] = np.empty(len(order))
            tensors[role][order] = numbers.ravel()
    epsilon = float(call.attribute("epsilon", 1e-5))
    return replace(x, name=a.add("layer_norm", x.name, tensors=tensors, epsilon=epsilon))


# Means


def _reduced(call: Call) -> View:
    kind = call.node.kind
    x = call.view()
    x = layout.filled(call.a, x) if x.repeats else x
    axes = call.numbers("axes", 1)
    if axes is None:
        raise OperationError("it goes over the batch as well")
    places = {axis % len(x.dims) for axis in axes}
    function = "maximum" if kind == "ReduceMax" else "mean"
    parts = [part for place in places for part in x.dims[place]]
    x = _over(call, x, function, parts, total=kind == "ReduceSum")
    keep = call.attribute("keepdims", 1)
    dims = tuple(() if i in places else dim for i, dim in enumerate(x.dims))
    if not keep:
        dims = tuple(dim for i, dim in enumerate(dims) if i not in places)
    return replace(x, dims=dims)


def _over(call: Call, x: View, function: str, parts: list[Part], total: bool) -> View:
    a = call.a
    axes = sorted({part.axis for part in parts})
    half = x.pending.split()
    if half and (half[0] != function or axes not in (["H"], ["W"]) or axes == half[1:]):
        layout.ready(a, x)  # which says what is pending
    count = float(np.prod([part.size for part in parts]))
    times = x.times * (count if total else 1.0)
    if half:
        name = a.add("reduce", x.name, function=function, over="picture")
        return replace(x, name=name, times=times, pending="")
    if axes in (["H"], ["W"]):
        return replace(x, times=times, pending=f"{function} {axes[0]}")
    x = layout.ready(a, x)
    name = x.name
    if "H" in axes and "W" in axes:
        name = a.add("reduce", name, function=function, over="picture")
    elif axes not in ([], ["C"]):
        raise OperationError(f"it goes over {axes}")
    if "C" in axes:
        if sum(part.size for part in parts if part.axis == "C") != a.channels(name):
            raise OperationError("it goes over some of the channels")
        name = a.add("reduce", name, function=function, over="channels")
        return replace(x, name=a.affine(name, count, 0.0) if total else name)
    return replace(x, name=name, times=times if axes else 1.0)


def _global_pool(call: Call) -> View:
    x = call.standard()
    function = "maximum" if call.node.kind == "GlobalMaxPool" else "mean"
    return call.picture(call.a.add("reduce", x.name, function=function, over="picture"))


# Sizes


def _depth_to_space(call: Call) -> View:
    x, a = call.standard(), call.a
    block = int(call.attribute("blocksize", 0))
    channels = a.channels(x.name)
    if block < 1 or channels % block**2:
        raise OperationError(f"{channels} channels in blocks of {block}")
    name = x.name
    if call.attribute("mode", "DCR") == "DCR":
        order = np.arange(channels).reshape(block, block, -1).transpose(2, 0, 1).ravel()
        name = a.permute(name, order)
    return call.picture(a.add("pixel_shuffle", name, factor=block))


def _space_to_depth(call: Call) -> View:
    x, a = call.standard(), call.a
    block = int(call.attribute("blocksize", 0))
    name = a.add("pixel_unshuffle", x.name, factor=block)
    order = np.arange(a.channels(name)).reshape(-1, block, block).transpose(1, 2, 0).ravel()
    return call.picture(a.permute(name, order))


def _resize(call: Call) -> View:
    x = call.standard()
    scales, sizes, how = _sampling(call)
    given = scales if sizes is None else sizes
    if given is None:
        raise OperationError("neither scales nor sizes")
    axes = call.attribute("axes", range(4 - given.size, 4))
    factors = [1.0] * 4
    for axis, n in zip(axes, given.ravel(), strict=True):
        factors[axis] = float(n) if sizes is None else n / x.shape[axis]
    down, right = factors[2:]
    if factors[:2] != [1, 1] or abs(down - right) > 1e-6:
        raise OperationError(f"it enlarges {factors} times; expected rows and columns alike")
    if down == 1:
        return x
    if call.attribute("antialias", 0) and down < 1:
        raise OperationError("antialias is 1, and it reduces")
    return call.picture(resize(call.a, x.name, round(down, 6), how))


def _sampling(call: Call) -> tuple[Array | None, Array | None, Drawing]:
    """By how much Resize or Upsample enlarges, to what size, and how."""
    mode, last = call.attribute("mode", "nearest"), len(call.inputs) - 1
    if call.node.kind == "Upsample" or call.trace.model.opset < 11:
        scales = call.node.attributes.get("scales")
        scales = call.needed(1) if scales is None else np.asarray(scales)
        return scales, None, Drawing(mode, corner=True, rounding="floor")
    scales, sizes = call.constant(min(2, last)) if last else None, call.constant(3)
    scales, sizes = (x if x is not None and x.size else None for x in (scales, sizes))
    centres = call.attribute("coordinate_transformation_mode", "half_pixel")
    if centres not in ("asymmetric", "half_pixel", "pytorch_half_pixel"):
        raise OperationError(f"mode {mode} with {centres} coordinates is not the engine's")
    if mode == "cubic" and call.attribute("exclude_outside", 0):
        raise OperationError("exclude_outside is 1; expected 0")
    rounding = call.attribute("nearest_mode", "round_prefer_floor")
    cubic = float(call.attribute("cubic_coeff_a", CUBIC))
    return scales, sizes, Drawing(mode, centres == "asymmetric", rounding, cubic)


def _pad(call: Call) -> View:
    x = layout.ready(call.a, call.view())
    pads = call.numbers("pads", 1) or []
    mode = call.attribute("mode", "constant")
    value = call.attribute("value", 0.0) if (v := call.constant(2)) is None else v.item()
    axes = call.numbers("axes", 3) or list(range(len(x.dims)))
    if len(pads) != 2 * len(axes) or (mode == "constant" and value and any(pads)):
        raise OperationError(f"it adds {pads[:8]} of {value}")
    if not any(pads):
        return x
    x = layout.standard(call.a, x)
    by_axis = dict(
        zip((a % 4 for a in axes), zip(pads, pads[len(axes) :], strict=False), strict=False)
    )
    if any(any(by_axis.get(axis, ())) for axis in (0, 1)):
        raise OperationError("it adds channels")
    (top, below), (left, right) = by_axis.get(2, (0, 0)), by_axis.get(3, (0, 0))
    if top == below == left == right:
        padding = {"constant": "zero", "reflect": "reflect", "edge": "edge"}.get(mode)
        if padding is None:
            raise OperationError(f"its mode is {mode!r}; expected constant, reflect or edge")
        return call.picture(call.a.pad(x.name, top, padding))
    if mode != "constant" or min(top, below, left, right) < 0:
        raise OperationError(f"it adds {pads[:8]}, mode {mode}; expected as much on every side")
    return replace(x, border=(top, left, below, right))


LAYERS: dict[str, Operator] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    **dict.fromkeys(("MaxPool", "AveragePool"), _pool),
    "MatMul": _matrix,
    "Gemm": _gemm,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_norm,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax"), _reduced),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "Pad": _pad,
}
