"""Putting a graph together from what other people's formats can say: one method a step.

Convolutions come with any strides, borders, dilations and groups there, and become those that
`graph/kinds.py` has: kernels are filled up with zeros, groups are computed apart, and what is left
over at the border is cropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imagen_fast.errors import OperationError, SpecError
from imagen_fast.graph import Graph, Grid, Input, Operation, Output, Value
from imagen_fast.graph.convolutions import before
from imagen_fast.graph.graph import MAX_OPERATIONS
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.operation import MAX_READ
from imagen_fast.importers.kernels import dilated, placed, ungrouped

Array = NDArray[Any]
Pads = tuple[int, int, int, int]  # pixels above, left, below, right
NO_PADS: Pads = (0, 0, 0, 0)
IMAGE = "image"


@contextmanager
def located(where: str) -> Iterator[None]:
    """Add to every error of an operation where in its file it stands.

    What goes wrong in computing with a hostile file's attributes is an OperationError too.
    """
    try:
        yield
    except OperationError as error:
        raise OperationError(f"{where}: {error}") from error
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        problem = " ".join(str(error).split())[:150]
        raise OperationError(f"{where}: its inputs do not fit ({problem})") from error


class Assembly:
    """Operations so far, their weights, and the channels and grid of every value.

    Values go by their names. What does not fit raises OperationError or SpecError, which say what;
    where it was, `located` adds.

    Args:
        channels: of the picture.
        margin, halvings: pixels around the picture, its sides completed to multiples of
            2^halvings first, that the network is to see; see the kind `pad`.

    Attributes:
        start: what the network reads as its picture.
        size: height and width of the picture at which the network is traced.
    """

    def __init__(self, channels: int, margin: int = 0, halvings: int = 0) -> None:
        self.tensors: dict[str, Array] = {}
        self.operations: list[Operation] = []
        self.values = {IMAGE: Value(channels, Grid(IMAGE))}
        self.start, self.size = IMAGE, (0, 0)
        if halvings:
            self.start = self.add("pad", self.start, padding="reflect", halvings=halvings)
        if margin:
            self.start = self.add("pad", self.start, padding="edge", margin=margin)

    def graph(self, output: str) -> Graph:
        """What the output needs, with a picture in and one out."""
        read, needed = {output}, []
        for x in reversed(self.operations):
            if x.output in read:
                read.update(x.inputs)
                needed.append(x)
        image = Input(self.values[IMAGE].channels, picture=True)
        return Graph({IMAGE: image}, tuple(needed[::-1]), {"picture": Output(output, True)})

    def add(
        self, kind: str, *inputs: str, tensors: dict[str, Array] | None = None, **attributes: Any
    ) -> str:
        """An operation of ours; returns its value."""
        if len(self.operations) >= MAX_OPERATIONS:
            raise OperationError(f"more than {MAX_OPERATIONS} operations")
        name = f"{kind}.{len(self.operations)}"
        names = {}
        for role, array in (tensors or {}).items():
            with np.errstate(over="ignore"):  # which the next line sees
                array = np.ascontiguousarray(array, np.float32)
            if not np.isfinite(array).all():
                raise OperationError("its weights are not finite")
            names[role] = f"{name}.{role}"
            self.tensors[names[role]] = array
        operation = Operation(kind, name, inputs, names, attributes)
        read = [self.values[x] if x else None for x in inputs]
        value = KINDS[kind].value(operation, read)
        for role, shape in KINDS[kind].shapes(operation, read, value).items():
            if (found := self.tensors[names[role]].shape) != shape:
                raise OperationError(f"its {role} is {found}; expected {shape}")
        self.operations.append(operation)
        self.values[name] = value
        return name

    def channels(self, x: str) -> int:
        """How many a value has."""
        return self.values[x].channels

    # Arithmetic

    def affine(self, x: str, scale: Array | float, offset: Array | float) -> str:
        """scale · x + offset, each a number or one for each channel."""
        scale, offset = np.asarray(scale, np.float64), np.asarray(offset, np.float64)
        if scale.size == offset.size == 1:
            if scale.item() == 1 and offset.item() == 0:
                return x
            return self.add("sum", x, scale=scale.item(), offset=offset.item())
        count = max(scale.size, offset.size)
        alone = self.channels(x) == 1
        if not alone and count != self.channels(x):
            raise OperationError(f"{count} numbers for {self.channels(x)} channels")
        return self.add(
            "convolution",
            x,
            tensors={
                "weight": np.broadcast_to(scale.ravel(), count).reshape(count, 1, 1, 1),
                "bias": np.broadcast_to(offset.ravel(), count),
            },
            channels=count,
            kernel=1,
            depthwise=not alone,
        )

    def function(self, x: str, name: str, **parameters: Any) -> str:
        """A function of every number; see `graph/activations.py`."""
        return self.add("sum", x, activation=name, **parameters)

    def total(self, inputs: list[str], minus: int = 0) -> str:
        """The sum of values, the last `minus` of them subtracted."""
        return self.add("sum", *inputs, minus=minus) if minus else self.add("sum", *inputs)

    def maximum(self, x: str, y: str, sign: int = 1) -> str:
        """The larger of two values, or with a sign of -1 the smaller."""
        more = self.add("sum", *((y, x) if sign > 0 else (x, y)), minus=1, activation="relu")
        return self.total([x, more], minus=0 if sign > 0 else 1)

    # Channels

    def concatenate(self, inputs: list[str]) -> str:
        """Channels side by side."""
        while len(inputs) > MAX_READ:
            inputs = [self.add("concatenate", *inputs[:MAX_READ]), *inputs[MAX_READ:]]
        return inputs[0] if len(inputs) == 1 else self.add("concatenate", *inputs)

    def cut(self, x: str, first: int, channels: int) -> str:
        """Some channels."""
        if first == 0 and channels == self.channels(x):
            return x
        return self.add("slice", x, first=first, channels=channels)

    def permute(self, x: str, order: Array) -> str:
        """Channel i is x's channel order[i]."""
        if np.array_equal(order, np.arange(self.channels(x))):
            return x
        weight = np.eye(self.channels(x), dtype=np.float32)[order][:, :, None, None]
        return self.add("convolution", x, tensors={"weight": weight}, channels=len(order), kernel=1)

    def spread(self, x: str, size: tuple[int, int]) -> str:
        """A single pixel as all pixels of a height and width that something before has."""
        for name, value in reversed(self.values.items()):
            if value.grid.size(*self.size) == size:
                zero = self.affine(self.cut(name, 0, 1), 0.0, 0.0)
                return self.total([x, zero])
        raise OperationError(f"it repeats a pixel {size} times; nothing before it is of that size")

    # Convolutions

    def convolution(
        self,
        x: str,
        weight: Array,
        bias: Array | None = None,
        stride: int = 1,
        pads: Pads = NO_PADS,
        dilations: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> str:
        """A convolution as torch and ONNX have it: weight (O, I / groups, kh, kw), zero border."""
        channels = self.channels(x)
        if weight.ndim != 4 or groups < 1 or len(weight) % groups or channels % groups:
            raise OperationError(f"a weight of {weight.shape} in {groups} groups does not fit")
        if weight.shape[1] != channels // groups:
            raise OperationError(f"a weight of {weight.shape} does not fit {channels} channels")
        if weight.shape[2:] == (stride, stride) and stride in (4, 8, 16) and pads == NO_PADS:
            x = self.add("pixel_unshuffle", x, factor=stride)
            weight = weight.reshape(len(weight), -1, 1, 1)
            return self.convolution(x, weight, bias, groups=groups)
        if stride not in (1, 2):
            raise OperationError(f"its stride is {stride}; expected 1 or 2")
        weight = dilated(weight, dilations)
        padding = "zero"
        if stride == 2 and pads == NO_PADS:
            x, pads, padding = self._halving(x, weight.shape[2:])
        x, pads, cropped = self._border(x, weight.shape[2:], stride, pads)
        if cropped is not None:
            weight = placed(weight, pads[:2], before, 1)
        if len(weight) == groups == channels:
            x = self._convolution(x, weight, bias, stride, padding, cropped, depthwise=True)
        elif groups == 1:
            x = self._convolution(x, weight, bias, stride, padding, cropped)
        else:
            inner, outer = channels // groups, len(weight) // groups
            parts = []
            for group in range(groups):
                part = slice(group * outer, (group + 1) * outer)
                alone = self.cut(x, group * inner, inner)
                some = None if bias is None else bias[part]
                parts.append(self._convolution(alone, weight[part], some, stride, padding, cropped))
            x = self.concatenate(parts)
        return self.add("crop", x, margin=cropped) if cropped else x

    def _convolution(
        self,
        x: str,
        weight: Array,
        bias: Array | None,
        stride: int,
        padding: str,
        cropped: int | None,
        depthwise: bool = False,
    ) -> str:
        how: dict[str, Any] = {"channels": len(weight), "kernel": weight.shape[2]}
        if stride > 1:
            how["stride"] = stride
        if cropped is None and weight.shape[2] > 1:
            how["padding"] = "valid"
        elif padding != "zero":
            how["padding"] = padding
        if depthwise:
            how["depthwise"] = True
        tensors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        return self.add("convolution", x, tensors=tensors, **how)

    def _halving(self, x: str, kernel: tuple[int, ...]) -> tuple[str, Pads, str]:
        """What to read, its border and what lies there, where one was put around it before."""
        made = next((y for y in self.operations if y.output == x and y.kind == "pad"), None)
        how: dict[str, Any] = KINDS["pad"].settings(made) if made is not None else {}
        margin: int = how.get("margin", 0)
        if made is None or not margin or {before(size) for size in kernel} != {margin}:
            return x, NO_PADS, "zero"
        return made.inputs[0], (margin,) * 4, how["padding"]

    def _border(
        self, x: str, kernel: tuple[int, ...], stride: int, pads: Pads
    ) -> tuple[str, Pads, int | None]:
        """The value to read, its border, and how much of the result is cropped.

        None: the kernel reads no border.
        """
        more = {
            pads[side] + pads[side + 2] - (size - 1) for side, size in enumerate(kernel)
        }  # pixels of the result
        if stride == 2:
            if not all(-1 <= rest <= 0 for rest in more):
                raise OperationError(f"its border {pads} does not halve a picture")
            return x, pads, 0
        if pads == NO_PADS and len(more) == 1 and kernel[0] % 2:
            return x, pads, None if kernel[0] > 1 else 0
        if len(more) > 1 or (rest := more.pop()) % 2:
            raise OperationError(f"its border {pads} takes more from one side than from another")
        if rest > 0:
            x = self.add("pad", x, margin=rest // 2)
        top, left, below, right = (side - rest // 2 for side in pads)
        return x, (top, left, below, right), max(0, -rest // 2)

    def transposed(
        self,
        x: str,
        weight: Array,
        bias: Array | None = None,
        stride: int = 2,
        pads: Pads = NO_PADS,
        more: tuple[int, int] = (0, 0),
        groups: int = 1,
    ) -> str:
        """A transposed convolution: weight (I, O / groups, kh, kw), `more` pixels at the end."""
        weight = ungrouped(weight, groups)
        if weight.ndim != 4 or len(weight) != self.channels(x):
            raise OperationError(f"a weight of {weight.shape} does not fit its input")
        if stride == 1:  # a convolution with the kernel turned round
            turned = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
            high, wide = weight.shape[2:]
            around = (
                *(high - 1 - pads[0], wide - 1 - pads[1]),
                *(high - 1 - pads[2] + more[0], wide - 1 - pads[3] + more[1]),
            )
            return self.convolution(x, turned, bias, pads=around)
        extra = {
            size - stride - pads[side] - pads[side + 2] + more[side]
            for side, size in enumerate(weight.shape[2:])
        }
        if len(extra) > 1 or (rest := extra.pop()) % 2:
            raise OperationError(f"its border {pads} takes more from one side than from another")
        cropped = -rest // 2
        if rest > 0:
            around = -(-rest // (2 * stride))
            x, cropped = self.add("pad", x, margin=around), around * stride - rest // 2
        # The first tap lies so many pixels before the pixel that it is laid on.
        first = (pads[0] + rest // 2, pads[1] + rest // 2)
        if min(first) < 0:
            raise OperationError(f"its border {pads} is not about its kernel's middle")
        even = placed(weight, first, lambda size: (size - 2) // 2, 2)
        if stride == 2 and even.shape[2] <= 8:
            tensors = {"weight": even} if bias is None else {"weight": even, "bias": bias}
            channels, kernel = even.shape[1:3]
            x = self.add(
                "transposed_convolution", x, tensors=tensors, channels=channels, kernel=kernel
            )
        else:
            x = self._phases(x, weight, bias, stride, first)
        return self.add("crop", x, margin=cropped) if cropped else x

    def _phases(
        self, x: str, weight: Array, bias: Array | None, stride: int, first: tuple[int, int]
    ) -> str:
        """As a convolution that computes stride² pixels at once, as channels."""
        high, wide = weight.shape[2:]
        reach = max(
            max(stride - 1 + start, size - 1 - start) // stride
            for size, start in zip((high, wide), first, strict=True)
        )
        size = 2 * reach + 1
        phases = np.zeros((weight.shape[1], stride, stride, len(weight), size, size), np.float32)
        for row in range(stride):
            for column in range(stride):
                for i in range((row + first[0]) % stride, high, stride):
                    for j in range((column + first[1]) % stride, wide, stride):
                        y, z = (row + first[0] - i) // stride, (column + first[1] - j) // stride
                        taps = weight[:, :, i, j].T  # (O, I)
                        phases[:, row, column, :, reach + y, reach + z] = taps
        kernel = phases.reshape(-1, len(weight), size, size)
        pads = (reach,) * 4
        bias = None if bias is None else np.repeat(bias, stride**2)
        x = self.convolution(x, kernel, bias, pads=pads)
        return self.add("pixel_shuffle", x, factor=stride)

    # Sizes

    def pad(self, x: str, pixels: int, padding: str) -> str:
        """A border of so many pixels, or, if negative, without one."""
        if pixels <= 0:
            return self.add("crop", x, margin=-pixels) if pixels else x
        return self.add("pad", x, margin=pixels, padding=padding)

    def average(self, x: str, kernel: int, stride: int, pads: Pads = NO_PADS) -> str:
        """Means of kernel² pixels, zeros beyond the border counted."""
        channels = self.channels(x)
        if kernel == stride and kernel in (4, 8, 16) and pads == NO_PADS:
            return self.average(self.average(x, 2, 2), kernel // 2, stride // 2)
        weight = np.full((channels, 1, kernel, kernel), 1 / kernel**2)
        return self.convolution(x, weight, None, stride, pads, groups=channels)

    def max_pool(self, x: str, kernel: int, stride: int, pads: Pads = NO_PADS) -> str:
        """Maxima of kernel² pixels, those beyond the border left out."""
        if kernel == stride and kernel in (4, 8, 16) and pads == NO_PADS:
            return self.max_pool(self.max_pool(x, 2, 2), kernel // 2, stride // 2)
        rests = {pads[i] + pads[i + 2] - (kernel - 1) for i in (0, 1)}
        if (
            stride not in (1, 2)
            or pads[:2] != (before(kernel),) * 2
            or not rests <= ({0} if stride == 1 else {0, -1})
        ):
            raise OperationError(f"a kernel of {kernel}, stride {stride} and border {pads}")
        return self.add("max_pool", x, kernel=kernel, stride=stride)
