"""Tensors of other formats as views of our values: split, merged and permuted axes.

A dimension is a list of parts of our channels, rows or columns, the outermost first. Reshaping
splits and merges, transposing permutes; nothing is computed until somebody needs our own order,
where pixel shuffles, their inverse and shuffles of channels are recognised by what they do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.graph.elementwise import ONE_PIXEL
from imagen_fast.graph.operation import MAX_CHANNELS
from imagen_fast.importers.assembly import NO_PADS, Array, Assembly, Pads


@dataclass(frozen=True)
class Part:
    """Indices 0 to size - 1 of an axis, times stride: "C", "H" or "W".

    Of axis "", with a stride of 0, it is the same again and again.
    """

    axis: str
    size: int
    stride: int = 1


Dim = tuple[Part, ...]


@dataclass(frozen=True)
class View:
    """A tensor: our value of this name, and which parts of it each dimension goes over.

    Attributes:
        times: a number that it is still to be multiplied by, of how many pixels were summed.
        pending: "mean H" and the like: of what is to be reduced along one axis, and will be along
            the other one too.
        border: zeros around it that a convolution is to see.
    """

    name: str
    dims: tuple[Dim, ...]
    times: float = 1.0
    pending: str = ""
    border: Pads = NO_PADS

    @property
    def shape(self) -> tuple[int, ...]:
        """As the format sees it."""
        return tuple(math.prod(part.size for part in dim) for dim in self.dims)

    @property
    def repeats(self) -> bool:
        """Whether some of it is the same again and again."""
        return any(not part.axis for dim in self.dims for part in dim)


def whole(name: str, channels: int, height: int, width: int) -> View:
    """(1, C, H, W) of a value; sides of one pixel have no parts."""
    sizes = {"C": channels, "H": height, "W": width}
    return View(name, ((), *((Part(axis, n),) if n > 1 else () for axis, n in sizes.items())))


def reshaped(x: View, shape: list[int]) -> View:
    """The same numbers in the same order. Raises OperationError: a part would be torn."""
    parts = [part for dim in x.dims for part in dim]
    if math.prod(shape) != math.prod(part.size for part in parts):
        raise OperationError(f"a tensor of {x.shape} cannot be reshaped to {shape}")
    dims = []
    for size in shape:
        dim: list[Part] = []
        while size > 1:
            part = parts.pop(0)
            if size % part.size == 0:
                dim.append(part)
                size //= part.size
            elif part.size % size == 0:
                inner = part.size // size
                dim.append(replace(part, size=size, stride=part.stride * inner))
                parts.insert(0, replace(part, size=inner))
                size = 1
            else:
                raise OperationError(f"reshaping {x.shape} to {shape} tears an axis apart")
        dims.append(_merged(dim))
    return replace(x, dims=tuple(dims))


def transposed(x: View, order: list[int]) -> View:
    """Dimensions in another order."""
    if sorted(order) != list(range(len(x.dims))):
        raise OperationError(f"{order} is no order of {len(x.dims)} dimensions")
    return replace(x, dims=tuple(x.dims[i] for i in order))


def is_repeated(dim: Dim) -> bool:
    """Whether a dimension goes over nothing but the same."""
    return bool(dim) and not any(part.axis for part in dim)


def _again(times: int) -> Dim:
    return (Part("", times, 0),) if times != 1 else ()


def expanded(x: View, shape: list[int]) -> View:
    """Repeated where it has one and the shape more. Raises OperationError: they do not fit."""
    length = max(len(x.dims), len(shape))
    dims = ((),) * (length - len(x.dims)) + x.dims
    sides = [1] * (length - len(shape)) + shape
    for dim, side in zip(dims, sides, strict=True):
        if side < 1 or (dim and side not in (1, math.prod(part.size for part in dim))):
            raise OperationError(f"a tensor of {x.shape} cannot be expanded to {shape[:8]}")
    return replace(
        x, dims=tuple(dim or _again(side) for dim, side in zip(dims, sides, strict=True))
    )


def tiled(x: View, repeats: list[int]) -> View:
    """Each dimension so many times. Raises OperationError: it goes over rows or columns."""
    if len(repeats) != len(x.dims):
        raise OperationError(f"{len(repeats)} repeats of {len(x.dims)} dimensions")
    for dim, times in zip(x.dims, repeats, strict=True):
        if times != 1 and any(part.axis in ("H", "W") for part in dim):
            raise OperationError("it repeats rows or columns; expected channels")
    return replace(
        x, dims=tuple((*_again(n), *dim) for dim, n in zip(x.dims, repeats, strict=True))
    )


def _merged(dim: list[Part]) -> Dim:
    merged: list[Part] = []
    for part in dim:
        last = merged[-1] if merged else None
        if last and last.axis == part.axis and last.stride == part.stride * part.size:
            merged[-1] = Part(part.axis, last.size * part.size, part.stride)
        else:
            merged.append(part)
    return tuple(merged)


def ready(a: Assembly, x: View) -> View:
    """A view of a value with nothing left to be done. Raises OperationError: it cannot be."""
    if x.pending:
        raise OperationError(f"{x.pending} alone, and not of the whole picture")
    if x.border != NO_PADS:
        raise OperationError(f"zeros {x.border} around a picture, and no convolution after it")
    if x.times != 1:
        x = replace(x, name=a.affine(x.name, x.times, 0.0), times=1.0)
    return x


def filled(a: Assembly, x: View) -> View:
    """A view with what is repeated computed, for what reads more than a number of each tensor.

    Raises:
        OperationError: it cannot be.
    """
    x = ready(a, x)
    if not x.repeats:
        return x
    dims, sides = x.dims, x.dims[-2:]
    spread = a.values[x.name].grid == ONE_PIXEL and any(map(is_repeated, sides))
    if spread:
        if not all(map(is_repeated, sides)):
            raise _strange(x)
        dims = (*dims[:-2], (), ())
    # What is repeated elsewhere becomes channels, in the order in which dimensions go over them.
    parts = tuple(part for dim in dims for part in dim if part.axis in ("C", ""))
    count = math.prod(part.size for part in parts)
    if not 0 < count <= MAX_CHANNELS:
        raise OperationError(f"it makes {count} channels; expected 1 to {MAX_CHANNELS}")
    name, stride = a.permute(x.name, channel_indices(parts)), count
    filled_dims = []
    for dim in dims:
        made = list(dim)
        for place, part in enumerate(made):
            if part.axis in ("C", ""):
                stride //= part.size
                made[place] = Part("C", part.size, stride)
        filled_dims.append(_merged(made))
    if spread:
        high, wide = x.shape[-2:]
        name = a.spread(name, (high, wide))
        filled_dims[-2:] = [(Part("H", high),), (Part("W", wide),)]
    return View(name, tuple(filled_dims))


def standard(a: Assembly, x: View) -> View:
    """As (1, C, H, W), computing what that takes. Raises OperationError: it is not one of ours."""
    x = filled(a, x)
    dims = ((),) * (4 - len(x.dims)) + x.dims
    if len(dims) != 4 or dims[0]:
        raise _strange(x)
    axes = ["".join(part.axis for part in dim) for dim in dims[1:]]
    if set(axes[0]) <= {"C"} and axes[1] in ("", "H") and axes[2] in ("", "W"):
        name = _order(a, x, dims[1])
        channels = (Part("C", a.channels(name)),) if dims[1] else ()
        return View(name, (dims[0], channels, *dims[2:]))
    if axes[1:] == ["HC", "WC"] and set(axes[0]) <= {"C"}:
        factor = dims[2][1].size
        down, right = dims[2][1].stride, dims[3][1].stride
        if dims[3][1].size != factor:
            raise _strange(x)
        order = channel_indices((*dims[1], Part("C", factor, down), Part("C", factor, right)))
        name = a.add("pixel_shuffle", a.permute(x.name, order), factor=factor)
        return whole(name, len(order) // factor**2, *x.shape[-2:])
    if axes[1:] == ["H", "W"] and sorted(axes[0].replace("C", "")) == ["H", "W"]:
        factor = dims[2][0].stride
        inner = {p.axis: p for p in dims[1] if p.axis != "C"}
        if any(p.size != factor or p.stride != 1 for p in inner.values()) or (
            dims[3][0].stride != factor
        ):
            raise _strange(x)
        # Channel (c, dy, dx) of ours, in the order that was asked for.
        strides = {"H": factor, "W": 1}
        order = channel_indices(
            tuple(
                Part("C", p.size, p.stride * factor**2)
                if p.axis == "C"
                else Part("C", factor, strides[p.axis])
                for p in dims[1]
            )
        )
        name = a.permute(a.add("pixel_unshuffle", x.name, factor=factor), order)
        return whole(name, a.channels(name), *x.shape[-2:])
    raise _strange(x)


def _order(a: Assembly, x: View, dim: Dim) -> str:
    if not dim:
        return x.name
    order = channel_indices(dim)
    if len(order) != a.channels(x.name):
        raise _strange(x)
    return a.permute(x.name, order)


def channel_indices(dim: Dim) -> Array:
    """The channels that the parts go over, in order."""
    indices = np.zeros(1, np.int64)
    for part in dim:
        indices = (indices[:, None] + np.arange(part.size) * part.stride).ravel()
    return indices


def _strange(x: View) -> OperationError:
    return OperationError(
        f"a tensor of {x.shape} is no picture of channels, rows and columns to this engine"
    )
