"""Graphs that are none, and how they are refused: by Python and by C++ alike."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from imagen_fast.errors import SpecError, WeightsError
from imagen_fast.graph import Graph

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")


def given(name: str, channels: int = 4, **others: Any) -> dict[str, Any]:
    plain = {"picture": False, "grid": [], "default": "", "optional": False}
    return {"name": name, "channels": channels, **plain, **others}


def step(kind: str, output: str, *inputs: str, tensors: Any = None, **how: Any) -> dict[str, Any]:
    return {
        "kind": kind, "output": output, "inputs": list(inputs), "tensors": tensors or {},
        "attributes": how,
    }  # fmt: skip


RIGHT: dict[str, Any] = {
    "inputs": [
        given("image", picture=True),
        given("half", 6, grid=["image", 1, 1]),
        given("other", optional=True, default="conv"),
        given("context", grid=["image", 0, 1], optional=True),
    ],
    "operations": [
        step("convolution", "conv", "image", tensors={"weight": "w"}, channels=4, kernel=3),
        step("transposed_convolution", "up", "half", "conv", tensors={"weight": "u"}, channels=4),
        step("sum", "sum", "up", "other", scale=0.5),
        step(
            "window_attention", "attention", "sum", "context", head_dim=2, window=4, shift=2,
            tensors={"q": "q", "kv": "kv", "temperature": "t", "position": "p", "proj": "q"},
        ),
        step("slice", "slice", "attention", first=1, channels=3),
        step("concatenate", "joined", "slice", "image"),
        step("pixel_shuffle", "fine", "attention", factor=2),
    ],
    "outputs": [
        {"name": "picture", "value": "fine", "picture": True},
        {"name": "joined", "value": "joined", "picture": False},
    ],
}  # fmt: skip
RIGHT["inputs"][2]["grid"] = ["image", 0, 1]
SHAPES = {"w": (4, 4, 3, 3), "u": (6, 4, 2, 2), "q": (4, 4), "kv": (8, 4), "t": (2,), "p": (16, 4)}
TENSORS = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}


def test_the_right_one_is_taken() -> None:
    graph = Graph.from_json(json.dumps(RIGHT))
    assert Graph.from_json(graph.to_json()) == graph
    assert graph.tensors == SHAPES
    for text in (json.dumps(RIGHT, indent=3), graph.to_json()):
        engine = _native.Engine(text, TENSORS)
        image = np.ones((1, 3, 5, 4), np.float32)
        half = np.ones((1, 2, 3, 6), np.float32)
        found = engine.run({"image": image, "half": half}, ["picture", "joined"])
        assert {n: x.shape for n, x in found.items()} == {
            "picture": (1, 6, 10, 1),
            "joined": (1, 3, 5, 7),
        }


Change = Callable[[dict[str, Any]], Any]


def put(where: str, value: object) -> Change:
    """Sets "operations.3.inputs.0" and the like."""

    def change(graph: dict[str, Any]) -> None:
        *path, last = (int(x) if x.isdigit() else x for x in where.split("."))
        for key in path:
            graph = graph[key]  # type: ignore[index]
        graph[last] = value  # type: ignore[index]

    return change


def drop(where: str) -> Change:
    def change(graph: dict[str, Any]) -> None:
        *path, last = (int(x) if x.isdigit() else x for x in where.split("."))
        for key in path:
            graph = graph[key]  # type: ignore[index]
        del graph[last]  # type: ignore[arg-type]

    return change


def more(*steps: dict[str, Any]) -> Change:
    """Further operations at the end."""
    return lambda graph: graph["operations"].extend(steps)


def many(kind: str, count: int, **how: Any) -> Change:
    """A chain of operations."""
    names = ["image", *(f"x{i}" for i in range(count))]
    return more(*(step(kind, y, x, **how) for x, y in pairwise(names)))


conv = {"weight": "w"}
heads = {"q": "q", "kv": "kv", "temperature": "t"}
listing = dict.fromkeys(("q", "k", "v", "proj"), "q") | dict.fromkeys(
    ("q_bias", "k_bias", "v_bias", "proj_bias"), "b"
)
WRONG: dict[str, Change] = {
    # Keys and types
    "no operations": drop("operations"),
    "a key that is unknown": put("version", 1),
    "operations are an object": put("operations", {}),
    "an operation is a number": put("operations.0", 5),
    "an input is null": put("inputs.0", None),
    "an input's key is missing": drop("inputs.0.picture"),
    "an input's key is unknown": put("inputs.0.dtype", "float"),
    "an operation's key is unknown": put("operations.0.note", ""),
    "an output's key is unknown": put("outputs.0.note", ""),
    "channels are text": put("inputs.0.channels", "4"),
    "channels are a fraction": put("inputs.0.channels", 4.0),
    "channels are true": put("inputs.0.channels", True),
    "picture is a number": put("inputs.0.picture", 1),
    "a name is a number": put("operations.0.inputs.0", 0),
    "a tensor's name is a number": put("operations.0.tensors.weight", 3),
    "tensors are a list": put("operations.0.tensors", []),
    "attributes are null": put("operations.0.attributes", None),
    "a grid of two": put("inputs.1.grid", ["image", 1]),
    "a grid of numbers": put("inputs.1.grid", [0, 1, 1]),
    "a grid of truths": put("inputs.1.grid", ["image", True, 1]),
    # Names
    "no inputs": put("inputs", []),
    "no outputs": put("outputs", []),
    "two inputs of one name": put("inputs.1.name", "image"),
    "an input without a name": put("inputs.1.name", ""),
    "two operations of one name": put("operations.1.output", "conv"),
    "an operation with an input's name": put("operations.0.output", "image"),
    "an operation without a name": put("operations.4.output", ""),
    "two outputs of one name": put("outputs.1.name", "picture"),
    "an output of nothing": put("outputs.0.value", "nothing"),
    "reads what is not there": put("operations.0.inputs.0", "nothing"),
    "reads itself": put("operations.0.inputs.0", "conv"),
    "a cycle": put("operations.0.inputs.0", "sum"),
    "half a character": put("operations.0.output", "\ud800"),
    # Inputs
    "no channels": put("inputs.0.channels", 0),
    "too many channels": put("inputs.0.channels", 4097),
    "channels beyond 64 bits": put("inputs.0.channels", 10**30),
    "a grid of no input": put("inputs.1.grid", ["conv", 1, 1]),
    "a grid of itself": put("inputs.1.grid", ["half", 1, 1]),
    "a grid of another's grid": put("inputs.2.grid", ["half", 0, 1]),
    "a grid of what may be left out": put("inputs.0.optional", True),
    "a negative halving": put("inputs.1.grid", ["image", -1, 1]),
    "17 halvings": put("inputs.1.grid", ["image", 17, 1]),
    "a factor of 0": put("inputs.1.grid", ["image", 1, 0]),
    "a factor beyond all": put("inputs.1.grid", ["image", 1, 65537]),
    "a default that is needed": put("inputs.2.optional", False),
    "a default that is not there": put("inputs.2.default", "nothing"),
    "a default of another size": put("inputs.2.default", "slice"),
    "a default that comes too late": put("inputs.2.default", "attention"),
    "a default of itself": put("inputs.2.default", "other"),
    "a default that may be left out": put("inputs.2.default", "context"),
    "reads what may be left out where it is needed": put("operations.2.inputs.1", "context"),
    "gives what may be left out": put("outputs.1.value", "context"),
    "depends on a skip that may be left out": more(
        step("transposed_convolution", "z", "half", "context", tensors={"weight": "u"}, channels=4),
        step("convolution", "z1", "context", tensors=conv, channels=4, kernel=3),
    ),
    "65 inputs": lambda graph: graph["inputs"].extend(given(f"i{i}") for i in range(61)),
    # Operations
    "thousands of operations": many("halve", 4097),
    "thousands of sums": many("sum", 4097),
    "an unknown kind": put("operations.0.kind", "convolution2"),
    "an empty kind": put("operations.0.kind", ""),
    "an unknown attribute": put("operations.0.attributes.dilation", 2),
    "another kind's attribute": put("operations.2.attributes.window", 4),
    "an attribute that is missing": drop("operations.0.attributes.channels"),
    "no kernel": drop("operations.0.attributes.kernel"),
    "no first": drop("operations.4.attributes.first"),
    "no factor": drop("operations.6.attributes.factor"),
    "no head_dim": drop("operations.3.attributes.head_dim"),
    "no window": drop("operations.3.attributes.window"),
    "an attribute that is null": put("operations.0.attributes.stride", None),
    "an attribute that is a list": put("operations.0.attributes.stride", [1]),
    "a scale of NaN": put("operations.2.attributes.scale", float("nan")),
    "a scale of infinity": put("operations.2.attributes.scale", float("-inf")),
    "a scale beyond a float": put("operations.2.attributes.scale", 1e39),
    "a scale of 400 digits": put("operations.2.attributes.scale", 10**400),
    "a scale that is true": put("operations.2.attributes.scale", True),
    "an offset that is text": put("operations.2.attributes.offset", "1"),
    "an unknown activation": put("operations.2.attributes.activation", "cosine"),
    "an activation that is a number": put("operations.2.attributes.activation", 0),
    "no inputs at all": put("operations.2.inputs", []),
    "17 inputs": put("operations.2.inputs", ["up"] * 17),
    "two inputs of one that reads one": put("operations.4.inputs", ["attention", "up"]),
    "a first input that is left out": put("operations.2.inputs.0", ""),
    "a second input that is left out": put("operations.2.inputs.1", ""),
    "a tensor that is missing": put("operations.0.tensors", {}),
    "a tensor that the kind does not have": put("operations.2.tensors", {"weight": "w"}),
    "slopes without an activation": put("operations.0.tensors", {"weight": "w", "slopes": "t"}),
    "no slopes": put("operations.0.attributes.activation", "prelu"),
    "no position": drop("operations.3.tensors.position"),
    # Channels and grids
    "a kernel of 32": put("operations.0.attributes.kernel", 32),
    "a stride of 3": put("operations.0.attributes.stride", 3),
    "a convolution of no channels": put("operations.0.attributes.channels", 0),
    "adds what has other channels": put("operations.2.inputs.1", "half"),
    "adds what has another size": more(step("sum", "z", "image", "fine")),
    "a convolution adds what does not fit": more(
        step("convolution", "z", "image", "half", tensors=conv, channels=4, kernel=3)
    ),
    "a skip that is not twice as large": put("operations.1.inputs", ["half", "half"]),
    "a skip of other channels": put("operations.1.attributes.channels", 5),
    "heads that do not divide": put("operations.3.attributes.head_dim", 3),
    "an odd window": put("operations.3.attributes", {"head_dim": 2, "window": 5}),
    "a shift by a quarter": put("operations.3.attributes.shift", 1),
    "a context of another size": put("operations.3.inputs.1", "half"),
    "a slice beyond the channels": put("operations.4.attributes.first", 2),
    "a concatenation of grids": put("operations.5.inputs.0", "half"),
    "too many channels joined": more(
        *(
            step("concatenate", f"z{i}", *[f"z{i - 1}" if i else "image"] * 16)
            for i in range(3)
        )
    ),
    "a shuffle that leaves a rest": put("operations.6.attributes.factor", 3),
    "a factor that is too large": put("operations.6.attributes.factor", 17),
    "factors that overflow": many("nearest", 9, factor=16),
    "a grid that cannot be halved": more(
        step("nearest", "z", "image", factor=3), step("halve", "zz", "z")
    ),
    "halved too often": many("halve", 17),
    "too many channels before a shuffle": more(
        step("subpixel_convolution", "z", "image", tensors=conv, channels=17, factor=16)
    ),
    "a base that does not fit": more(
        step("subpixel_convolution", "z", "image", "half", tensors=conv, channels=4, factor=2)
    ),
    "too many probabilities": more(
        step(
            "attention_map", "z", "image", head_dim=1, window=64, tensors=heads | {"position": "p"}
        )
    ),
    "heads in the listing's attention": more(
        step("global_attention", "z", "image", tensors=listing, head_dim=2, plain=True)
    ),
    "a context in the listing's attention": more(
        step("global_attention", "z", "image", "conv", tensors=listing, head_dim=4, plain=True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_graphs_are_refused_by_both(name: str) -> None:
    graph = copy.deepcopy(RIGHT)
    WRONG[name](graph)
    text = json.dumps(graph)
    with pytest.raises(SpecError):
        Graph.from_json(text)
    with pytest.raises(WeightsError) as caught:
        _native.Engine(text, TENSORS)
    assert "tensors do not fit" not in str(caught.value)  # the graph was


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{" * 50,
        "[" * 100_000,
        json.dumps(RIGHT)[:-1],
        json.dumps(RIGHT) + "}",
        json.dumps(RIGHT).replace("0.5", "1e999"),
        json.dumps(RIGHT).replace("0.5", "NaN"),
        json.dumps(RIGHT).replace("0.5", "Infinity"),
        json.dumps(RIGHT).replace("0.5", "-1" + "0" * 5000),
        json.dumps(RIGHT).replace('"name": "image"', '"name": "image", "name": "image"'),
    ],
    ids=lambda text: text[:20] + text[-20:],
)
def test_what_is_no_json_of_a_graph_is_refused_by_both(text: str) -> None:
    with pytest.raises(SpecError):
        Graph.from_json(text)
    with pytest.raises(WeightsError) as caught:
        _native.Engine(text, TENSORS)
    assert "tensors do not fit" not in str(caught.value)


@pytest.mark.parametrize("name", ["w", "kv"])
def test_a_tensor_that_is_missing_or_of_another_shape_is_refused(name: str) -> None:
    text = json.dumps(RIGHT)
    for tensors in (
        {n: x for n, x in TENSORS.items() if n != name},
        TENSORS | {name: np.ones(7, np.float32)},
        TENSORS | {name: np.full(SHAPES[name], np.inf, np.float32)},
    ):
        with pytest.raises(WeightsError, match=f"{name}"):
            _native.Engine(text, tensors)


def test_a_tensor_of_two_shapes_is_refused_by_both() -> None:
    graph = copy.deepcopy(RIGHT)
    graph["operations"][3]["tensors"]["kv"] = "q"
    with pytest.raises(SpecError, match="both"):
        Graph.from_json(json.dumps(graph))
    with pytest.raises(WeightsError, match="expected \\(8, 4\\)"):
        _native.Engine(json.dumps(graph), TENSORS)
