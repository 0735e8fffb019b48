"""Operations that run one behind the other over strips of a picture give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from random_graphs import Arrays, inputs_for, weights_for

from imagen_fast.graph import Graph, Input, Output
from imagen_fast.graph.builder import Builder

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

# A thread's part of the planes of this picture fills its cache many times; that of one of many does
# not, and then there is nothing to gain.
IMAGES, HEIGHT, WIDTH = 2, 203, 331
FEW, MANY = 1, 48
KERNELS = [  # not the generic ones, which are the same templates and slow
    (precision, isa)
    for precision in ("fp32", "bf16")
    for isa in _native.available(precision)
    if isa != "generic"
]


def convolution(b: Builder, name: str, *x: str, kernel: int = 3, **attributes: Any) -> str:
    tensors = {"weight": f"{name}.weight", "bias": f"{name}.bias"}
    settings = {"channels": 28, "kernel": kernel, "activation": "silu"} | attributes
    return b.add("convolution", name, *x, tensors=tensors, **settings)


def network() -> Graph:
    """Residuals, gates, concatenations, slices and what is read again much later."""
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)
    start = x = convolution(b, "start", "image")
    for i in range(3):
        y = convolution(b, f"{i}.a", x)
        y = convolution(b, f"{i}.b", y, kernel=1, channels=48, activation="none")
        part = b.add("slice", f"{i}.part", y, first=16, channels=28)
        y = convolution(b, f"{i}.c", part, x, scale=0.5)
        gate = b.add("sum", f"{i}.by", y, activation="sigmoid", offset=-0.5)
        y = b.add("product", f"{i}.gated", b.add("sum", f"{i}.sum", y, x), gate)
        x = b.add("layer_norm", f"{i}.norm", y)
    joined = b.add("concatenate", "joined", start, convolution(b, "end", x), x)
    x = convolution(b, "fused", joined, start, kernel=1)
    x = convolution(b, "last", convolution(b, "more", x), x)
    b.outputs["features"] = Output("1.c")
    b.outputs["x"] = Output(x)
    return b.graph()


def shared_plane() -> Graph:
    """A plane of which an earlier chain writes a part, and a later one reads all around a pixel."""
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)
    early = x = convolution(b, "early", "image")
    for i in range(2):
        x = convolution(b, f"between.{i}", x)
    joined = b.add("concatenate", "joined", early, convolution(b, "late", x))
    x = convolution(b, "after", joined, kernel=1)
    b.outputs["x"] = Output(convolution(b, "around", x))
    return b.graph()


def distilled() -> Graph:
    """A few channels after each convolution kept, joined, and weighted by what all pixels say."""
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)
    x = convolution(b, "start", "image", channels=64)
    for i in range(2):
        kept, y = [], x
        for j in range(3):
            y = convolution(b, f"{i}.{j}", y, channels=64, activation="relu")
            kept.append(b.add("slice", f"{i}.{j}.kept", y, first=0, channels=16))
            y = b.add("slice", f"{i}.{j}.left", y, first=16, channels=48)
        joined = b.add(
            "concatenate", f"{i}.joined", *kept, convolution(b, f"{i}.3", y, channels=16)
        )
        ways = [
            b.add("reduce", f"{i}.{how}", joined, function=how, over="picture")
            for how in ("mean", "deviation", "maximum")
        ]
        said = convolution(b, f"{i}.said", b.add("sum", f"{i}.all", *ways), kernel=1, channels=64)
        weighted = b.add("product", f"{i}.weighted", joined, said)
        x = convolution(b, f"{i}.fused", weighted, x, kernel=1, channels=64)
    b.outputs["x"] = Output(convolution(b, "last", x))
    return b.graph()


def windows() -> Graph:
    """Windows of every size and border, of each channel alone and of all; gates, sums over all."""
    b = Builder()
    b.inputs["image"] = Input(3, picture=True)
    x = convolution(b, "start", "image")
    for i, (kernel, padding) in enumerate([(3, "zero"), (7, "zero"), (5, "edge"), (3, "reflect")]):
        y = convolution(b, f"{i}.wide", b.add("layer_norm", f"{i}.norm", x), kernel=1, channels=64)
        y = convolution(
            b, f"{i}.each", y, kernel=kernel, padding=padding, channels=64, depthwise=True
        )
        halves = [b.add("slice", f"{i}.{j}", y, first=32 * j, channels=32) for j in range(2)]
        x = convolution(b, f"{i}.x", b.add("product", f"{i}.gated", *halves), x, kernel=1)
        window = convolution(b, f"{i}.window", x, kernel=kernel, padding=padding, channels=16)
        x = convolution(b, f"{i}.back", window, x, kernel=1)
    y = convolution(b, "each", x, kernel=2, depthwise=True)
    b.outputs["x"] = Output(b.add("sum", "last", y, x))
    return b.graph()


def run(
    graph: Graph, tensors: Arrays, inputs: Arrays, kernels: tuple[str, str], threads: int
) -> Arrays:
    precision, isa = kernels
    engine = _native.Engine(graph.to_json(), tensors, precision=precision, isa=isa, threads=threads)
    other = {name: 1 - array for name, array in inputs.items()}
    engine.run(other, list(graph.outputs))  # so that memory is full, of other numbers
    found: Arrays = engine.run(inputs, list(graph.outputs))
    return found


def memory(graph: Graph, tensors: Arrays, threads: int) -> int:
    engine = _native.Engine(graph.to_json(), tensors, precision="bf16", isa="amx", threads=threads)
    return engine.memory({"image": (IMAGES, HEIGHT, WIDTH)}, list(graph.outputs))


@pytest.mark.skipif("amx" not in _native.available("bf16"), reason="strips are for AMX")
def test_what_strips_hand_on_needs_no_planes() -> None:
    graph = network()
    tensors = weights_for(graph, np.random.default_rng(0))
    assert memory(graph, tensors, FEW) < 0.8 * memory(graph, tensors, MANY)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (HEIGHT + 5, 2 * WIDTH)])
@pytest.mark.parametrize("made", [network, shared_plane, distilled, windows])
def test_strips_give_the_same_bits(
    kernels: tuple[str, str], size: tuple[int, int], made: Callable[[], Graph]
) -> None:
    graph = made()
    rng = np.random.default_rng(0)
    tensors = weights_for(graph, rng)
    inputs = inputs_for(graph, IMAGES, *size, rng)
    in_strips = run(graph, tensors, inputs, kernels, FEW)
    one_by_one = run(graph, tensors, inputs, kernels, MANY)
    for name in graph.outputs:
        assert np.array_equal(in_strips[name], one_by_one[name]), name
