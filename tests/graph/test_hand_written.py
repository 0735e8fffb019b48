"""A network of none of our architectures, written by hand, runs through C and through Python.

Three branches of odd channel counts, two inputs, two outputs: hand_written.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from random_graphs import Arrays, inputs_for, weights_for
from reference import Reference

from imagen_fast import c_library
from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.graph import Graph

sys.path.append(str(Path(__file__).parents[1] / "runtime"))
from c_interface import Engine, library

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")

ENGINES = [(p, isa) for p in ("fp32", "bf16") for isa in _native.available(p)]
SHAPES = [(1, 1, 1), (2, 9, 7), (1, 1, 50), (1, 50, 1), (1, 18, 37), (1, 3, 103)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hand") / "written.safetensors"
    graph = Graph.from_json((Path(__file__).parent / "hand_written.json").read_text())
    save_bundle(Bundle(graph, dict(weights_for(graph, np.random.default_rng(0)))), path)
    return path


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def case(request: pytest.FixtureRequest, path: Path) -> Iterator[tuple[Reference, Arrays]]:
    bundle = load_bundle(path)
    inputs = inputs_for(bundle.graph, *request.param, np.random.default_rng(1))
    return Reference(bundle.graph, bundle.tensors, inputs, list(bundle.graph.outputs)), inputs


@pytest.mark.skipif(bool(c_library.missing()), reason=c_library.missing() or "")
@pytest.mark.parametrize(("precision", "isa"), ENGINES)
def test_parity_through_c(
    case: tuple[Reference, Arrays], path: Path, precision: str, isa: str
) -> None:
    reference, inputs = case
    with Engine(library(), path, precision=precision, isa=isa) as engine:
        found = engine.run_graph(inputs, ["picture", "features"])
        assert reference.problem(found, precision) == ""
        for name in found:  # one alone needs fewer operations
            np.testing.assert_array_equal(engine.run_graph(inputs, [name])[name], found[name])
