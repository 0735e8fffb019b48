"""Kinds: the size that a row says is the one computed, and no pixel reads others than it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from random_graphs import weights_for

from imagen_fast.errors import SpecError
from imagen_fast.graph import Graph, Input, Output
from imagen_fast.graph.activations import ACTIVATIONS, FUNCTIONS
from imagen_fast.graph.builder import Builder
from imagen_fast.graph.kind import EVERYTHING
from imagen_fast.graph.kinds import KINDS
from imagen_fast.models.operations import ACTIVATIONS as DEFINED
from imagen_fast.models.operations import DEFINITIONS, run_graph

CHANNELS = 4
Case = tuple[str, dict[str, Any]]
CASES: dict[str, Case] = {
    **{
        f"convolution {kernel} by {stride}": (
            "convolution",
            {"channels": 3, "kernel": kernel, "stride": stride, "padding": padding},
        )
        for kernel, stride, padding in [
            (1, 1, "zero"), (1, 2, "zero"), (2, 1, "edge"), (2, 2, "reflect"), (3, 2, "zero"),
            (4, 1, "zero"), (4, 2, "edge"), (5, 1, "reflect"), (7, 2, "zero"), (9, 1, "zero"),
        ]
    },
    "depthwise": ("convolution", {"channels": CHANNELS, "kernel": 7, "depthwise": True}),
    "transposed 2": ("transposed_convolution", {"channels": 3}),
    "transposed 4": ("transposed_convolution", {"channels": 3, "kernel": 4}),
    "transposed 6": ("transposed_convolution", {"channels": 3, "kernel": 6}),
    "layer norm": ("layer_norm", {}),
    "mean of channels": ("reduce", {"function": "mean", "over": "channels"}),
    "deviation": ("reduce", {"function": "deviation", "over": "picture"}),
    "unshuffle": ("pixel_unshuffle", {"factor": 4}),
    "bilinear": ("bilinear", {"factor": 3}),
    "max pool 2": ("max_pool", {"kernel": 2, "stride": 2}),
    "max pool 3": ("max_pool", {"kernel": 3}),
    "max pool 3 by 2": ("max_pool", {"kernel": 3, "stride": 2}),
    "pad": ("pad", {"padding": "reflect", "margin": 3}),
    "complete": ("pad", {"padding": "edge", "halvings": 3}),
}  # fmt: skip


def graph_of(kind: str, attributes: dict[str, Any]) -> Graph:
    b = Builder()
    b.inputs["image"] = Input(CHANNELS)
    b.outputs["y"] = Output("y")
    tensors = {"weight": "w", "bias": "b"} if kind.endswith("convolution") else {}
    b.add(kind, "y", "image", tensors=tensors, **attributes)
    return b.graph()


def run(graph: Graph, image: torch.Tensor, seed: int = 0) -> torch.Tensor:
    weights = weights_for(graph, np.random.default_rng(seed))
    tensors = {name: torch.from_numpy(x).double() for name, x in weights.items()}
    return run_graph(graph, tensors, {"image": image})[next(iter(graph.outputs))]


def picture(height: int, width: int) -> torch.Tensor:
    values = np.random.default_rng(1).standard_normal((1, CHANNELS, height, width))
    return torch.from_numpy(values)


@pytest.mark.parametrize("case", CASES)
def test_a_result_is_of_the_size_that_its_row_says(case: str) -> None:
    graph = graph_of(*CASES[case])
    value = graph.values["y"]
    for height, width in [(8, 16), (9, 13), (5, 1), (1, 2)]:  # odd sides, and too few to mirror
        found = run(graph, picture(height, width))
        assert found.shape == (1, value.channels, *value.grid.size(height, width))
        assert found.isfinite().all()


@pytest.mark.parametrize("case", CASES)
def test_a_pixel_reads_none_but_those_that_its_row_says(case: str) -> None:
    kind, attributes = CASES[case]
    graph = graph_of(kind, attributes)
    operation = graph.operations[0]
    settings = KINDS[kind].settings(operation)
    values = [graph.values["image"]]
    side, middle = 48, 24
    image = picture(3, side)
    other = image.clone()
    other[..., middle] += 1.0
    difference = (run(graph, other) - run(graph, image)).abs().amax((0, 1, 2))
    changed = difference.nonzero().ravel() - graph.values["y"].grid.around // 2
    reading = [
        pixel
        for pixel in range(-4, len(difference))
        if (interval := KINDS[kind].reads(settings, values, (pixel, pixel), 0)) == EVERYTHING
        or interval[0] <= middle <= interval[1]
    ]
    assert len(changed)
    assert set(changed.tolist()) <= set(reading)
    if kind not in ("reduce", "max_pool", "bilinear", "transposed_convolution"):
        assert set(changed.tolist()) == set(reading)


def test_valid_convolutions_eat_a_margin_and_a_crop_ends_at_the_picture() -> None:
    b = Builder()
    b.inputs["image"] = Input(CHANNELS)
    b.add("pad", "even", "image", padding="edge", halvings=2)
    b.add("pad", "padded", "even", padding="edge", margin=5)
    how = {"channels": CHANNELS, "kernel": 3, "padding": "valid"}
    x = b.add("convolution", "a", "padded", tensors={"weight": "wa"}, **how)
    x = b.add("transposed_convolution", "b", x, tensors={"weight": "wb"}, channels=3)
    b.add("crop", "y", x, "image", margin=8, factor=2)
    b.outputs["y"] = Output("y")
    graph = b.graph()
    assert graph.values["a"].grid.around == 8
    assert graph.values["y"].grid.size(7, 10) == (14, 20)
    assert graph.scale == 2
    constant = torch.ones(1, CHANNELS, 7, 10, dtype=torch.float64)
    found = run(graph, constant)
    assert found.shape == (1, 3, 14, 20)
    # Of a constant picture with edges repeated, all pixels of a phase are alike.
    assert (found[:, :, ::2, ::2] - found[:, :, :1, :1]).abs().max() < 1e-12


def test_one_pixel_and_one_channel_count_for_all() -> None:
    b = Builder()
    b.inputs["image"] = Input(CHANNELS)
    b.add("reduce", "mean", "image", function="mean", over="picture")
    b.add("reduce", "most", "image", function="maximum", over="channels")
    b.add("product", "product", "most", "image", "mean")
    b.add("sum", "y", "product", "most", "mean", minus=2, activation="abs", scale=2.0, offset=1.0)
    b.outputs["y"] = Output("y")
    image = picture(5, 6)
    mean, most = image.mean((2, 3), keepdim=True), image.amax(1, keepdim=True)
    expected = 2 * (most * image * mean - most - mean).abs() + 1
    assert torch.allclose(run(b.graph(), image), expected)


def test_every_kind_and_every_function_is_defined() -> None:
    assert DEFINITIONS.keys() == KINDS.keys()
    assert {"none", *DEFINED} == {*ACTIVATIONS, *FUNCTIONS}


@pytest.mark.parametrize(
    ("kind", "attributes", "problem"),
    [
        (
            "convolution",
            {"channels": 4, "kernel": 3, "padding": "valid"},
            "0 pixels around a picture, and 2 are lost",
        ),
        ("convolution", {"channels": 3, "kernel": 3, "depthwise": True}, "expected 4"),
        ("convolution", {"channels": 3, "kernel": 2, "padding": "valid"}, "odd kernels"),
        ("transposed_convolution", {"channels": 3, "kernel": 3}, "even"),
        ("pixel_unshuffle", {"factor": 3}, "power of two"),
        ("crop", {"margin": 1}, "0 pixels around a picture, and 2 are lost"),
        ("crop", {"factor": 2}, "nothing"),
        ("sum", {"minus": 1}, "fewer"),
        (
            "convolution",
            {"channels": 3, "kernel": 1, "activation": "exp"},
            "expected one of none, ",
        ),
    ],
)
def test_attributes_that_do_not_fit_are_refused(
    kind: str, attributes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SpecError, match=problem):
        graph_of(kind, attributes)
