"""A network that nobody has heard of runs on every engine, with no other file touched."""

from __future__ import annotations

import numpy as np
import pytest
from engines import ENGINES, Engine
from random_graphs import inputs_for, weights_for
from reference import Reference

from imagen_fast.bundle import Bundle
from imagen_fast.graph import Graph, Grid, Input, Output
from imagen_fast.graph.builder import Builder


def made_up() -> Graph:
    """Two branches of odd channel counts, a coarser second input, three outputs."""
    b = Builder()
    b.inputs = {"image": Input(3, picture=True), "style": Input(11, grid=Grid("image", 1))}

    def conv(name: str, *inputs: str, channels: int, kernel: int = 3, **how: str) -> str:
        return b.convolution(
            "convolution", name, *inputs, module=name, channels=channels, kernel=kernel, **how
        )

    left = conv("left", "image", channels=7, activation="gelu")
    left = conv("left.gate", left, left, channels=7, kernel=1, activation="sigmoid")
    right = conv("right", "image", channels=13, activation="relu")
    right = b.convolution(
        "transposed_convolution", "styled", "style", right, module="styled", channels=13
    )
    joined = b.add("concatenate", "joined", left, right, left)
    x = conv("mixed", joined, channels=20, kernel=1, activation="silu")
    b.convolution("subpixel_convolution", "large", x, "image", module="up", channels=3, factor=2)
    b.outputs = {
        "picture": Output("large", picture=True),
        "mixed": Output("mixed"),
        "same": Output("image", picture=True),
    }
    return b.graph()


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_it_runs_everywhere(engine: Engine) -> None:
    graph, rng = made_up(), np.random.default_rng(0)
    weights, given = dict(weights_for(graph, rng)), inputs_for(graph, 2, 9, 14, rng)
    wanted = ["picture", "mixed", "same"]
    run = engine.make(Bundle(graph, weights), given, wanted)
    found = run(given, wanted)
    assert Reference(graph, weights, given, wanted).problem(found, engine.precision) == ""
