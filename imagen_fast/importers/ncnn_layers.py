"""ncnn's layers that read more than one pixel or channel, or rearrange them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.graph.elementwise import ONE_PIXEL
from imagen_fast.importers.assembly import NO_PADS, Array, Pads
from imagen_fast.importers.ncnn_arithmetic import ARITHMETIC, UNSET, Blob, Call
from imagen_fast.importers.resizing import Drawing, resize

SAME_UPPER, SAME_LOWER = -233, -234


def _stride(call: Call, across: int = 3, down: int = 13) -> int:
    high, wide = call.sides(across, down, 1)
    if high != wide:
        raise OperationError(f"its strides are {high} and {wide}; expected equal ones")
    return high


def _pads(call: Call, kernel: tuple[int, int], stride: int) -> Pads:
    layer = call.layer
    left = layer.whole(4)
    if left in (SAME_UPPER, SAME_LOWER):
        total = [max(size - stride, 0) for size in kernel]
        less = [t // 2 if left == SAME_UPPER else t - t // 2 for t in total]
        return less[0], less[1], total[0] - less[0], total[1] - less[1]
    top = layer.whole(14, left)
    return top, left, layer.whole(16, top), layer.whole(15, left)


def _read_kernel(call: Call, groups: int) -> tuple[Array, Array | None]:
    """Weights (O, I / groups, kh, kw), and the bias."""
    layer = call.layer
    out, size = layer.whole(0), layer.whole(6)
    high, wide = call.sides(1, 11)
    if min(out, size, high, wide, groups) < 1 or size % (out * high * wide) or out % groups:
        raise OperationError(f"{size} weights for {out} channels and a kernel of {high} × {wide}")
    weight = call.weights.stored(size).reshape(out, -1, high, wide)
    return weight, call.weights.plain(out) if layer.whole(5) else None


def _convolution(call: Call) -> list[Blob]:
    layer = call.layer
    groups = layer.whole(7, 1) if layer.kind == "ConvolutionDepthWise" else 1
    if layer.whole(8) or layer.whole(19) or layer.number(18):
        raise OperationError("int8, with weights of another layer, or with a border of numbers")
    weight, bias = _read_kernel(call, groups)
    dilations, stride = call.sides(2, 12, 1), _stride(call)
    high, wide = ((n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilations, strict=True))
    pads = _pads(call, (high, wide), stride)
    x = call.a.convolution(call.x, weight, bias, stride, pads, dilations, groups)
    return [call.activated(x)]


def _deconvolution(call: Call) -> list[Blob]:
    layer = call.layer
    groups = layer.whole(7, 1) if layer.kind == "DeconvolutionDepthWise" else 1
    weight, bias = _read_kernel(call, groups)
    if call.sides(2, 12, 1) != (1, 1) or layer.whole(20) or layer.whole(28):
        raise OperationError("dilated, of a size of its own, or with weights of another layer")
    # (O, I / groups, …) → (I, O / groups, …)
    out, inner, *kernel = weight.shape
    parts = weight.reshape(groups, out // groups, inner, *kernel).swapaxes(1, 2)
    weight = parts.reshape(groups * inner, out // groups, *kernel)
    stride = _stride(call)
    pads = _pads(call, (kernel[0], kernel[1]), stride)
    right = layer.whole(18)
    more = (layer.whole(19, right), right)
    return [call.activated(call.a.transposed(call.x, weight, bias, stride, pads, more, groups))]


def _inner_product(call: Call) -> list[Blob]:
    layer = call.layer
    out, size = layer.whole(0), layer.whole(2)
    channels = call.a.channels(call.x)
    if layer.whole(8) or out < 1 or size != out * channels:
        raise OperationError(f"int8, or {size} weights for {channels} and {out} channels")
    if call.a.values[call.x].grid != ONE_PIXEL:
        raise OperationError("it reads more than one pixel")
    weight = call.weights.stored(size).reshape(out, channels, 1, 1)
    bias = call.weights.plain(out) if layer.whole(1) else None
    return [call.activated(call.a.convolution(call.x, weight, bias))]


# Channels and sizes


def _split(call: Call) -> list[Blob]:
    return [call.inputs[0]] * len(call.layer.outputs)


def _same(call: Call) -> list[Blob]:
    return [call.x]


def _vector(call: Call) -> list[Blob]:
    if call.a.values[call.x].grid != ONE_PIXEL:
        raise OperationError("it lays out more than one pixel in another way")
    return [call.x]


def _concat(call: Call) -> list[Blob]:
    if call.layer.whole(0) not in (0, -3):
        raise OperationError("it joins rows or columns; expected channels")
    return [call.a.concatenate([call.value(i) for i in range(len(call.inputs))])]


def _slice(call: Call) -> list[Blob]:
    if call.layer.whole(1) not in (0, -3):
        raise OperationError("it splits rows or columns; expected channels")
    channels = call.a.channels(call.x)
    results: list[Blob] = []
    first = 0
    sizes = [int(x) for x in call.layer.arrays.get(0, ())]
    for place, size in enumerate(sizes):
        size = (channels - first) // (len(sizes) - place) if size == UNSET else size
        results.append(call.a.cut(call.x, first, size))
        first += size
    return results


def _crop(call: Call) -> list[Blob]:
    layer, a = call.layer, call.a
    value = a.values[call.x]
    if len(call.inputs) == 2:  # to the size of another value, about the middle or not
        like = a.values[call.value(1)]
        margin = (value.grid.around - like.grid.around) // 2
        offsets = {layer.whole(0), layer.whole(1)}
        if layer.arrays or offsets != {margin} or layer.whole(2):
            raise OperationError(f"it begins at {offsets}; expected {margin}, about the middle")
        return [a.add("crop", call.x, call.value(1), margin=margin)]
    if layer.arrays.keys() >= {9, 10}:
        starts, ends = ([int(n) for n in layer.arrays[i]] for i in (9, 10))
        axes = [int(n) % 3 for n in layer.arrays.get(11, range(len(starts)))]
        sides = {*starts, *(-end for end in ends)}
        if sorted(axes) == [1, 2] and len(sides) == 1:
            return [a.pad(call.x, -sides.pop(), "zero")]
        if axes != [0]:
            raise OperationError(f"it cuts axes {axes} from {starts} to {ends}")
        low, high, _ = slice(starts[0], ends[0]).indices(value.channels)
        return [a.cut(call.x, low, high - low)]
    left, top, first = (layer.whole(i) for i in (0, 1, 2))
    sizes = {layer.whole(i, UNSET) for i in (3, 4)}
    last, below, behind = layer.whole(6), layer.whole(7), layer.whole(8)
    if sizes - {UNSET, 0} or len({left, top, last, below}) > 1:
        raise OperationError("it crops to a size, or more on one side than on another")
    count = layer.whole(5)
    count = value.channels - first - behind if count in (0, UNSET) else count
    return [a.pad(a.cut(call.x, first, count), -left, "zero")]


def _interp(call: Call) -> list[Blob]:
    layer = call.layer
    modes = {1: "nearest", 2: "linear", 3: "cubic"}
    mode = modes.get(layer.whole(0))
    down, right = layer.number(1, 1.0), layer.number(2, 1.0)
    if mode is None or layer.whole(3) or layer.whole(6) or len(call.inputs) > 1 or down != right:
        raise OperationError("it goes to a size, by corners, or differently down and across")
    how = Drawing(mode, corner=mode == "nearest", rounding="floor")
    return [resize(call.a, call.x, down, how)]


def _pooling(call: Call) -> list[Blob]:
    layer, a = call.layer, call.a
    maximum = layer.whole(0) == 0
    function = "maximum" if maximum else "mean"
    if layer.whole(4) or (layer.whole(7) and layer.whole(8) == 1):
        return [a.add("reduce", call.x, function=function, over="picture")]
    high, wide = call.sides(1, 11)
    stride = _stride(call, 2, 12)
    left = layer.whole(3)
    top = layer.whole(13, left)
    pads = (top, left, layer.whole(15, top), layer.whole(14, left))
    if layer.whole(7) or high != wide or layer.whole(5) > 1:
        raise OperationError("adaptive, of a kernel that is no square, or with a border by name")
    if maximum:
        return [a.max_pool(call.x, high, stride, pads)]
    if pads != NO_PADS and not layer.whole(6):
        raise OperationError("a mean that leaves out what lies beyond the border")
    return [a.average(call.x, high, stride, pads)]


def _reduction(call: Call) -> list[Blob]:
    layer, a = call.layer, call.a
    functions = {0: "mean", 3: "mean", 4: "maximum"}
    function = functions.get(layer.whole(0))
    axes = {int(n) % 3 for n in layer.arrays.get(3, ())}
    if function is None or layer.whole(1, 1) or axes not in ({0}, {1, 2}):
        raise OperationError("no mean or maximum over channels, or over the picture")
    if layer.whole(0) == 0 and axes != {0}:
        raise OperationError("a sum over the picture")
    over = "channels" if axes == {0} else "picture"
    result = a.add("reduce", call.x, function=function, over=over)
    count = a.channels(call.x) if layer.whole(0) == 0 else 1
    return [a.affine(result, count * layer.number(2, 1.0), 0.0)]


def _pixel_shuffle(call: Call) -> list[Blob]:
    factor, x = call.layer.whole(0, 1), call.x
    if call.layer.whole(1):
        order = np.arange(call.a.channels(x)).reshape(factor, factor, -1).transpose(2, 0, 1)
        x = call.a.permute(x, order.ravel())
    return [call.a.add("pixel_shuffle", x, factor=factor)]


def _reorg(call: Call) -> list[Blob]:
    if call.layer.whole(1):
        raise OperationError("its mode is not 0")
    return [call.a.add("pixel_unshuffle", call.x, factor=call.layer.whole(0, 1))]


def _padding(call: Call) -> list[Blob]:
    layer = call.layer
    sides = {layer.whole(i) for i in range(4)}
    names = {0: "zero", 1: "edge", 2: "reflect"}
    kind = layer.whole(4)
    if len(sides) > 1 or kind not in names or (kind == 0 and layer.number(5)):
        raise OperationError("more on one side than on another, or of numbers")
    return [call.a.pad(call.x, sides.pop(), names[kind])]


def _memory(call: Call) -> list[Blob]:
    sides = [call.layer.whole(i) for i in range(3)]
    if any(sides[:2]) and sides[2] and sides[0] * sides[1] != 1:
        raise OperationError("a constant that differs from pixel to pixel")
    count = 1
    for side in sides:
        count *= max(1, side)
    return [call.weights.plain(count)]


LAYERS: dict[str, Callable[[Call], list[Blob]]] = {
    **ARITHMETIC,
    **dict.fromkeys(("Convolution", "ConvolutionDepthWise"), _convolution),
    **dict.fromkeys(("Deconvolution", "DeconvolutionDepthWise"), _deconvolution),
    "InnerProduct": _inner_product,
    "Split": _split,
    **dict.fromkeys(("Noop", "Dropout"), _same),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "ExpandDims"), _vector),
    "Concat": _concat,
    "Slice": _slice,
    "Crop": _crop,
    "Interp": _interp,
    "Pooling": _pooling,
    "Reduction": _reduction,
    "PixelShuffle": _pixel_shuffle,
    "Reorg": _reorg,
    "Padding": _padding,
    "MemoryData": _memory,
}
