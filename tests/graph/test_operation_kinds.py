"""Kinds: the size that a row says is the one computed, and no pixel reads others than it says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from random_graphs import inputs_for, weights_for

sys.path.append(str(Path(__file__).parents[1] / "parity"))
from operation_cases import GRAPHS

from imagen_fast.errors import SpecError
from imagen_fast.graph import Graph, Input, Output
from imagen_fast.graph.activations import ACTIVATIONS, FUNCTIONS
from imagen_fast.graph.builder import Builder
from imagen_fast.graph.elementwise import ONE_PIXEL
from imagen_fast.graph.kind import EVERYTHING
from imagen_fast.graph.kinds import KINDS
from imagen_fast.models.operations import ACTIVATIONS as DEFINED
from imagen_fast.models.operations import DEFINITIONS, run_graph

CHANNELS = 4
Arrays = Mapping[str, NDArray[np.float32]]


def graph_of(kind: str, attributes: dict[str, Any]) -> Graph:
    b = Builder()
    b.inputs["image"] = Input(CHANNELS)
    b.outputs["y"] = Output("y")
    tensors = {"weight": "w", "bias": "b"} if kind.endswith("convolution") else {}
    b.add(kind, "y", "image", tensors=tensors, **attributes)
    return b.graph()


def run(graph: Graph, given: Arrays) -> torch.Tensor:
    weights = weights_for(graph, np.random.default_rng(0))
    tensors = {name: torch.from_numpy(x).double() for name, x in weights.items()}
    arrays = {name: torch.from_numpy(x).double().movedim(3, 1) for name, x in given.items()}
    return run_graph(graph, tensors, arrays)["y"]


def inputs(graph: Graph, height: int, width: int) -> Arrays:
    return inputs_for(graph, 1, height, width, np.random.default_rng(1))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_result_is_of_the_size_that_its_row_says(name: str) -> None:
    graph = GRAPHS[name]
    value = graph.values["y"]
    for height, width in [(8, 16), (9, 13), (5, 1), (1, 2)]:  # odd sides, and too few to mirror
        found = run(graph, inputs(graph, height, width))
        size = (1, 1) if value.grid == ONE_PIXEL else value.grid.size(height, width)
        assert found.shape == (1, value.channels, *size)
        assert found.isfinite().all()


@pytest.mark.parametrize("name", [name for name, x in GRAPHS.items() if len(x.operations) == 1])
def test_a_pixel_reads_those_that_its_row_says_and_no_others(name: str) -> None:
    graph = GRAPHS[name]
    (operation,) = graph.operations
    row = KINDS[operation.kind]
    values = [graph.values[x] if x else None for x in operation.inputs]
    for place, read in enumerate(operation.inputs):
        if not read:
            continue
        given = inputs(graph, 3, 48)
        middle = given[read].shape[2] // 2
        other = {**given, read: given[read].copy()}
        other[read][:, :, middle] += 1.0
        changed = (run(graph, other) - run(graph, given)).abs().amax((0, 1, 2)) > 0
        first = -(graph.values["y"].grid.around // 2)
        pixels = range(first, first + len(changed))
        said = [row.reads(row.settings(operation), values, (x, x), place) for x in pixels]
        expected = [x == EVERYTHING or x[0] <= middle <= x[1] for x in said]
        assert changed.tolist() == expected


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
    found = run(graph, {"image": np.ones((1, 7, 10, CHANNELS), np.float32)})
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
    given = inputs(b.graph(), 5, 6)
    image = torch.from_numpy(given["image"]).double().movedim(3, 1)
    mean, most = image.mean((2, 3), keepdim=True), image.amax(1, keepdim=True)
    expected = 2 * (most * image * mean - most - mean).abs() + 1
    assert torch.allclose(run(b.graph(), given), expected)


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
