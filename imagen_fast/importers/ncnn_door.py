"""ncnn networks as graphs of ours, from a .param and a .bin file of one name."""

from __future__ import annotations

from pathlib import Path

from imagen_fast.errors import OperationError, WeightsError
from imagen_fast.importers.assembly import Array, Assembly, located
from imagen_fast.importers.fitting import SIZES, Foreign
from imagen_fast.importers.ncnn_arithmetic import Call
from imagen_fast.importers.ncnn_layers import LAYERS
from imagen_fast.importers.ncnn_model import Layer, Weights, read_layers

# Layers whose results have the channels of what they read.
KEEPING = ("Split", "Padding", "BinaryOp", "Interp")


def network(path: Path) -> Foreign:
    """The network of either file of a pair. Raises WeightsError: missing, damaged, too large."""
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    layers = read_layers(param)
    inputs = [x for x in layers if x.kind == "Input"]
    if len(inputs) != 1 or len(inputs[0].outputs) != 1:
        raise WeightsError(f"{param}: {len(inputs)} inputs; expected one, a picture")
    channels = inputs[0].number(2) or _channels(layers, inputs[0])
    if channels not in (1, 3):
        raise WeightsError(f"{param}: a picture of {channels:g} channels; expected 1 or 3")

    def draw(a: Assembly, size: tuple[int, int]) -> str:
        return _drawn(a, layers, Weights(weights))

    return Foreign(draw, int(channels), SIZES[:1], None, {"format": "ncnn"}, may_add=True)


def _channels(layers: list[Layer], given: Layer) -> int:
    """Of a picture of which the file does not say it: 1 if a convolution of it reads 1, else 3."""
    pictures = set(given.outputs)
    for layer in layers:
        if pictures.isdisjoint(layer.inputs):
            continue
        if layer.kind in KEEPING:
            pictures |= set(layer.outputs)
        elif layer.kind in ("Convolution", "Deconvolution"):
            wide = layer.number(1)
            kernel = layer.number(0) * wide * layer.number(11, wide)
            return 1 if layer.number(6) == kernel else 3
    return 3


def _drawn(a: Assembly, layers: list[Layer], weights: Weights) -> str:
    blobs: dict[str, str | Array] = {}
    unread: dict[str, None] = {}
    for place, layer in enumerate(layers):
        where = f"layer {place} ({layer.kind}, {layer.name[:80]!r})"
        with located(where):
            if layer.kind == "Input":
                results: list[str | Array] = [a.start]
            else:
                if missing := [x for x in layer.inputs if x not in blobs]:
                    raise OperationError(
                        f"it reads {missing[0][:80]!r}, which nothing gives before"
                    )
                if layer.kind not in LAYERS:
                    raise OperationError("the engine has no such operation")
                call = Call(a, layer, [blobs[x] for x in layer.inputs], weights)
                results = LAYERS[layer.kind](call)
        for name in layer.inputs:
            unread.pop(name, None)
        for name, result in zip(layer.outputs, results, strict=False):
            if name in blobs:
                raise OperationError(f"{where}: {name[:80]!r} is computed twice")
            blobs[name] = result
            unread[name] = None
    if weights.left:
        raise OperationError(f"{weights.left} bytes of its weights are left over")
    ends = [x for name in unread if isinstance(x := blobs[name], str)]
    if len(ends) != 1:
        raise OperationError(f"{len(ends)} results that nothing reads; expected one")
    return ends[0]
