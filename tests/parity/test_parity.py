"""Every engine, in every precision, against the definitions in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import network_cases
import numpy as np
import operation_cases
import pytest
from numpy.typing import NDArray
from random_graphs import inputs_for, random_graph, weights_for
from reference import Reference

pytest.importorskip("imagen_fast._native", reason="the extension is not built")

from engines import ENGINES, Engine, Run

from imagen_fast.bundle import Bundle
from imagen_fast.errors import ImagenError
from imagen_fast.graph import Graph
from imagen_fast.graph.kinds import KINDS
from imagen_fast.graph.passes import needed

HAND_WRITTEN = Path(__file__).parents[1] / "graph" / "hand_written.json"
HAND_SHAPES = [(1, 1, 1), (2, 9, 7), (1, 1, 50), (1, 50, 1), (1, 18, 37), (1, 3, 103)]
RANDOM_SHAPES = [(1, 1, 1), (2, 9, 7), (1, 18, 37), (1, 3, 2)]
SEEDS = range(24)
SHORT = (
    *("hand-written at (1, 1, 1)", "hand-written at (2, 9, 7)"),
    *("network: listing", "network: two pictures"),
    *("network: features", "network: maps and picture"),
    *("network: another picture's features", "network: a latent"),
    "network: a frame and the one before",
)

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """A graph with weights, and its runs: arrays and names of outputs; a sort of `FLOORS`."""

    sort: str
    bundle: Bundle
    runs: Sequence[tuple[Arrays, Sequence[str]]]


def operation(name: str, shape: tuple[int, int, int]) -> Case:
    graph, rng = operation_cases.GRAPHS[name], np.random.default_rng(0)
    bundle = Bundle(graph, dict(weights_for(graph, rng)))
    return Case("operation", bundle, [(inputs_for(graph, *shape, rng), ["y"])])


def whole(name: str) -> Case:
    bundle, given, wanted = network_cases.made(name)
    return Case(
        "levels" if network_cases.CASES[name].wanted else "picture", bundle, [(given, wanted)]
    )


def hand_written(shape: tuple[int, int, int]) -> Case:
    graph = Graph.from_json(HAND_WRITTEN.read_text())
    bundle = Bundle(graph, dict(weights_for(graph, np.random.default_rng(0))))
    inputs = inputs_for(graph, *shape, np.random.default_rng(1))
    return Case("graph", bundle, [(inputs, list(graph.outputs))])


def drawn(seed: int) -> Case:
    """With and without what may be left out: all outputs at once, and each with what it needs."""
    graph, rng = random_graph(seed), np.random.default_rng(seed)
    bundle = Bundle(graph, dict(weights_for(graph, rng)))
    inputs = inputs_for(graph, *RANDOM_SHAPES[seed % len(RANDOM_SHAPES)], rng)
    runs: list[tuple[Arrays, Sequence[str]]] = []
    for given in (inputs, {n: x for n, x in inputs.items() if not graph.inputs[n].optional}):
        known = graph.given(given)
        outputs = [n for n in graph.outputs if needed(known, [n]).inputs.keys() <= given.keys()]
        runs.append((dict(given), outputs))
        runs += [({i: given[i] for i in needed(known, [n]).inputs}, [n]) for n in outputs]
    return Case("random", bundle, runs)


CASES: dict[str, Callable[[], Case]] = {
    f"{name} at {'x'.join(map(str, shape))}": partial(operation, name, shape)
    for name, shape in product(operation_cases.GRAPHS, operation_cases.SHAPES)
}
CASES |= {f"network: {name}": partial(whole, name) for name in network_cases.CASES}
CASES |= {f"hand-written at {shape}": partial(hand_written, shape) for shape in HAND_SHAPES}
CASES |= {f"random {seed}": partial(drawn, seed) for seed in SEEDS}


@lru_cache(maxsize=2)
def case_of(name: str) -> tuple[Case, Callable[[int], Reference]]:
    """The case, and the reference of each of its runs."""
    case = CASES[name]()

    def reference(run: int) -> Reference:
        graph, (given, wanted) = case.bundle.graph, case.runs[run]
        return Reference(graph, case.bundle.tensors, given, wanted, case.sort)

    return case, cache(reference)


def pairs() -> list[Any]:
    """Cases and engines, but for those that would take long.

    Other runtimes run not all networks, which are exported first, and Triton's interpreter few.
    """
    ours = {f"network: {n}" for n, case in network_cases.CASES.items() if not case.exported}
    ours |= {f"random {seed}" for seed in SEEDS if seed % 4}
    return [
        pytest.param(name, engine, id=f"{name}, {engine.name}")
        for name in CASES
        for engine in ENGINES
        if not (engine.files and name in ours)
        and not (engine.slow and "2x9x13" not in name and name not in SHORT)
    ]


@pytest.mark.parametrize(("name", "engine"), pairs())
def test_parity(name: str, engine: Engine) -> None:
    case, reference = case_of(name)
    run, refused = made(engine, case)
    if run is None:
        engine_name, operation = engine.name.split()[0], name.rpartition(" at ")[0]
        assert operation in operation_cases.NOT_YET.get(engine_name, ())
        assert "operation '" in refused
        return
    for number, (given, wanted) in list(enumerate(case.runs))[: 1 if engine.files else None]:
        found = run(given, wanted)
        assert reference(number).problem(found, engine.precision) == ""


def made(engine: Engine, case: Case) -> tuple[Run | None, str]:
    """What runs the case, or why the engine does not."""
    try:
        return engine.make(case.bundle, *case.runs[0]), ""
    except ImagenError as error:
        return None, str(error)


def test_every_kind_has_a_case() -> None:
    graphs = operation_cases.GRAPHS.values()
    assert {x.kind for graph in graphs for x in graph.operations} == KINDS.keys()
