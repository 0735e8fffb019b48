"""The native engine on graphs drawn at random: what the planner shares, overwrites and cuts."""

from __future__ import annotations

import numpy as np
import pytest
from random_graphs import Arrays, inputs_for, random_graph, weights_for
from reference import Reference

from imagen_fast.graph import Graph
from imagen_fast.graph.passes import needed

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

# A wrong plan is off by much more. In bf16 a single convolution by way of Winograd's transforms,
# which are rounded as well, errs thrice as much as PyTorch's.
FLOORS = {"fp32": 2e-6, "bf16": 1e-2}
SHAPES = [(1, 1, 1), (2, 9, 7), (1, 18, 37), (1, 3, 2)]


def given_and_wanted(graph: Graph, inputs: Arrays) -> list[tuple[Arrays, list[str]]]:
    """With and without what may be left out: all outputs at once, and each with what it needs."""
    runs = []
    for given in (inputs, {n: x for n, x in inputs.items() if not graph.inputs[n].optional}):
        known = graph.given(given)
        outputs = [n for n in graph.outputs if needed(known, [n]).inputs.keys() <= given.keys()]
        runs.append((given, outputs))
        runs += [({i: given[i] for i in needed(known, [n]).inputs}, [n]) for n in outputs]
    return runs


@pytest.mark.parametrize("seed", range(24))
def test_parity(seed: int) -> None:
    graph = random_graph(seed)
    assert Graph.from_json(graph.to_json()) == graph
    rng = np.random.default_rng(seed)
    tensors = weights_for(graph, rng)
    inputs = inputs_for(graph, *SHAPES[seed % len(SHAPES)], rng)
    engines = {
        (precision, isa): _native.Engine(
            graph.to_json(), tensors, precision=precision, isa=isa, threads=1 + seed % 2
        )
        for precision in ("fp32", "bf16")
        for isa in _native.available(precision)
    }
    for given, wanted in given_and_wanted(graph, inputs):
        reference = Reference(graph, tensors, given, wanted)
        for (precision, isa), engine in engines.items():
            # What is not finite in one run must not be seen by the next one, in the same memory.
            engine.run({name: np.full_like(x, np.nan) for name, x in given.items()}, wanted)
            found = engine.run(given, wanted)
            assert found is not None
            problem = reference.problem(found, precision, FLOORS[precision])
            assert problem == "", f"{wanted} of {list(given)} on {isa} in {precision}: {problem}"
