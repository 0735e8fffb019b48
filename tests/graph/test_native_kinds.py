"""Kinds put together, and what the native engine makes of them, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_graphs import inputs_for, weights_for
from reference import Reference

from imagen_fast.graph import Graph, Input, Output
from imagen_fast.graph.activations import ACTIVATIONS, FUNCTIONS
from imagen_fast.graph.builder import Builder

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

# Small pictures in numbers, since few samples are rounded well or badly by chance.
SHAPES = [(1, 1, 1), (2, 9, 7), (1, 18, 53), (16, 3, 2)]
BORDERS = ("zero", "reflect", "edge")
KERNELS = [
    *((kernel, stride) for kernel in (1, 2, 3, 4, 5, 7) for stride in (1, 2)),
    (9, 1),
    (31, 2),
]


def convolution(b: Builder, x: str, *added: str, channels: int = 19, **attributes: Any) -> str:
    name = f"y{len(b.outputs)}"
    tensors = {"weight": f"{name}.weight", "bias": f"{name}.bias"}
    if attributes.get("activation") == "prelu":
        tensors["slopes"] = f"{name}.slopes"
    b.add("convolution", name, x, *added, tensors=tensors, channels=channels, **attributes)
    b.outputs[name] = Output(name)
    return name


def one(b: Builder, kind: str, *x: str, tensors: bool = False, **attributes: Any) -> str:
    name = f"y{len(b.outputs)}"
    roles = {role: f"{name}.{role}" for role in ("weight", "bias")} if tensors else {}
    b.add(kind, name, *x, tensors=roles, **attributes)
    b.outputs[name] = Output(name)
    return name


def convolutions(b: Builder, x: str) -> None:
    for kernel, stride in KERNELS:
        for padding in BORDERS:
            convolution(b, x, kernel=kernel, stride=stride, padding=padding, activation="relu")
            convolution(
                b, x, kernel=kernel, stride=stride, padding=padding, depthwise=True, channels=13
            )


def valid_convolutions(b: Builder, x: str) -> None:
    padded = one(b, "pad", x, padding="reflect", margin=7)
    for kernel in (3, 5, 7):
        convolution(b, padded, kernel=kernel, padding="valid")
        convolution(b, padded, kernel=kernel, padding="valid", depthwise=True, channels=13)
    y = convolution(b, padded, kernel=3, padding="valid", channels=32)
    y = convolution(b, y, kernel=3, padding="valid", channels=40, activation="silu")
    y = one(b, "transposed_convolution", y, tensors=True, channels=3, kernel=4)
    one(b, "crop", y, x, factor=2, margin=10)
    one(b, "crop", y, margin=3)


def transposed(b: Builder, x: str) -> None:
    for kernel in (2, 4, 6, 8):
        one(b, "transposed_convolution", x, tensors=True, channels=19, kernel=kernel)
    half = convolution(b, x, kernel=4, stride=2)
    one(b, "transposed_convolution", half, x, tensors=True, channels=13, kernel=4)


def activations(b: Builder, x: str) -> None:
    low_and_high = {"slope": 0.3, "low": -0.4, "high": 0.7, "scale": 1.5}
    for activation in ACTIVATIONS:
        convolution(b, x, kernel=3, activation=activation, channels=13, **low_and_high)
        convolution(b, x, x, kernel=1, activation=activation, channels=13, **low_and_high)
    positive = one(b, "sum", x, activation="square", offset=0.5)
    for function in FUNCTIONS:
        y = one(b, "sum", positive, activation=function, exponent=1.7, offset=0.25)
        convolution(b, y, kernel=3)  # what pads the channels counts for nothing


def broadcast(b: Builder, x: str) -> None:
    mean = one(b, "reduce", x, function="mean", over="picture")
    most = one(b, "reduce", x, function="maximum", over="channels")
    for function in ("variance", "deviation", "maximum"):
        one(b, "reduce", x, function=function, over="picture")
    for function in ("mean", "variance", "deviation"):
        one(b, "reduce", x, function=function, over="channels")
    far = one(b, "sum", x, offset=9.0)  # of which a deviation is left that is small beside it
    one(b, "reduce", far, function="deviation", over="picture")
    gate = convolution(b, mean, kernel=1, activation="sigmoid", channels=13)
    one(b, "product", x, gate)
    one(b, "product", most, x, mean)
    one(b, "sum", mean, x, most, minus=2, activation="abs", scale=2.0, offset=1.0)
    one(b, "sum", x, mean, minus=1)
    one(b, "sum", *[x] * 16, minus=3)
    one(b, "product", most, most)


def sizes(b: Builder, x: str) -> None:
    for factor in (2, 4):
        one(b, "pixel_unshuffle", x, factor=factor)
    for factor in (1, 2, 3):
        one(b, "bilinear", x, factor=factor)
    for kernel, stride in [(2, 1), (2, 2), (3, 1), (3, 2), (5, 2)]:
        one(b, "max_pool", x, kernel=kernel, stride=stride)
    for padding in BORDERS:
        one(b, "pad", x, padding=padding, margin=3)
        one(b, "pad", x, padding=padding, halvings=3)
    b.add("layer_norm", "normed", x, epsilon=1e-6)
    b.outputs["normed"] = Output("normed")
    one(b, "layer_norm", x, tensors=True)
    half = one(b, "halve", convolution(b, x, kernel=3))
    one(b, "halve", half)


def gates(b: Builder, x: str) -> None:
    def plain(name: str, kernel: int) -> str:
        tensors = {"weight": f"{name}.weight", "bias": f"{name}.bias"}
        how = {"channels": 13, "kernel": kernel}
        return b.add("convolution", name, x, tensors=tensors, **how)

    for kernel in (1, 3):
        y = plain(f"a{kernel}", kernel)
        by = b.add("sum", f"gate.a{kernel}", y, activation="sigmoid", offset=-0.5)
        one(b, "product", b.add("sum", f"sum.a{kernel}", y, x), by)
        y = plain(f"b{kernel}", kernel)
        one(b, "product", x, b.add("sum", f"gate.b{kernel}", y, activation="tanh", scale=0.5))
        one(b, "product", plain(f"c{kernel}", kernel), x)
        y = plain(f"d{kernel}", kernel)  # which both read, and neither adds
        one(b, "product", b.add("sum", f"gate.d{kernel}", y, activation="silu"), y)


def shifted(b: Builder, x: str) -> None:
    """Convolutions of a picture from which a mean is subtracted: their border is of zeros."""
    means = {role: f"mean.{role}" for role in ("weight", "bias")}
    how: dict[str, Any] = {"channels": 3, "kernel": 1, "depthwise": True}
    convolution(b, b.add("convolution", "centred", x, tensors=means, scale=1.5, **how), kernel=3)
    convolution(b, b.add("sum", "twice", x, scale=2.0, offset=-1.0), kernel=3, activation="silu")
    either = b.add("sum", "either", x, offset=0.5)  # what two read stays a value
    convolution(b, either, kernel=3)
    convolution(b, either, kernel=3, padding="reflect")


def distilled(b: Builder, x: str) -> None:
    """Slices that every kernel reads, and that are joined with what is computed in its place."""
    wide = convolution(b, x, kernel=3, channels=64)
    kept = [one(b, "slice", wide, first=first, channels=16) for first in (0, 16)]
    left = one(b, "slice", wide, first=16, channels=48)
    kept.append(convolution(b, left, kernel=3, channels=16, activation="relu"))
    convolution(b, left, kernel=1)
    convolution(b, left, kernel=5)
    convolution(b, left, kernel=2, stride=2)
    convolution(b, left, kernel=3, depthwise=True, channels=48)
    one(b, "pixel_shuffle", left, factor=4)
    joined = one(b, "concatenate", *kept, x)
    convolution(b, joined, kernel=3)
    one(b, "reduce", joined, function="mean", over="picture")
    whole = convolution(b, x, kernel=1, channels=32)
    convolution(b, one(b, "concatenate", kept[0], kept[1], whole, left), kernel=1)


GRAPHS = [
    convolutions, valid_convolutions, transposed, activations, broadcast, sizes, gates, distilled
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fill", [*GRAPHS, shifted])
def test_parity(fill: Any, shape: tuple[int, int, int]) -> None:
    b = Builder()
    b.inputs["image"] = Input(3 if fill is shifted else 13)
    fill(b, "image")
    graph = b.graph()
    assert Graph.from_json(graph.to_json()) == graph
    rng = np.random.default_rng(3)
    tensors = weights_for(graph, rng)
    inputs = inputs_for(graph, *shape, rng)
    wanted = list(graph.outputs)
    reference = Reference(graph, tensors, inputs, wanted, "random")
    for precision in ("fp32", "bf16"):
        for isa in _native.available(precision):
            engine = _native.Engine(
                graph.to_json(), tensors, precision=precision, isa=isa, threads=2
            )
            found = engine.run(inputs, wanted)
            assert found is not None
            problem = reference.problem(found, precision)
            assert problem == "", f"on {isa} in {precision}: {problem}"


def test_a_shifted_picture_takes_no_plane() -> None:
    def memory(*shifted: float) -> int:
        b = Builder()
        b.inputs["image"], x = Input(3, picture=True), "image"
        for offset in shifted:
            x = b.add("sum", "shifted", x, offset=offset)
        convolution(b, x, kernel=3)
        graph = b.graph()
        tensors = weights_for(graph, np.random.default_rng(0))
        engine = _native.Engine(graph.to_json(), tensors)
        return int(engine.memory({"image": (1, 64, 64)}, list(graph.outputs)))

    assert memory(-0.5) == memory()
