"""Where C++ does what Python does, for programs without Python: both say the same."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from imagen_fast import tiling
from imagen_fast.backends import memory
from imagen_fast.errors import SpecError, TilingError
from imagen_fast.spec import PRESETS, Level, ModelSpec

ROOT = Path(__file__).parents[2]
RUNTIME = [f"imagen_fast/runtime/{name}.cc" for name in
           ("json", "memory", "reach", "spec", "tiling", "view")]  # fmt: skip

Ask = Callable[[list[str]], list[str]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Answers of tests/native/twins.cc to a list of questions."""
    if not (compiler := shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("needs a C++ compiler")
    program = tmp_path_factory.mktemp("twins") / "twins"
    command = [compiler, "-std=c++17", "-O1", "tests/native/twins.cc", *RUNTIME, "-o", str(program)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)

    def answers(questions: list[str]) -> list[str]:
        done = subprocess.run(
            [program], input="\n".join(questions), capture_output=True, text=True, check=True
        )
        return [line.strip() for line in done.stdout.splitlines()]

    return answers


def cut(height: int, width: int, tile: int, overlap: int, alignment: int) -> str:
    try:
        grid = tiling.plan(height, width, tile, overlap, alignment)
    except TilingError:
        return "refused"
    rows, columns = (
        " ".join(f"{s.start} {s.stop} {s.low} {s.high} {s.ramp}" for s in spans)
        for spans in (grid.rows, grid.columns)
    )
    return f"{rows} | {columns}"


def test_cuts(ask: Ask) -> None:
    rng = np.random.default_rng(0)
    cases = [
        (
            *(int(x) for x in rng.integers(1, 2000, 2)),
            int(rng.integers(-1, 400)),
            int(rng.integers(-1, 70)),
            2 * int(rng.integers(1, 20)),
        )
        for _ in range(4000)
    ]
    expected = [cut(*case) for case in cases]
    assert 200 < expected.count("refused") < 3000
    assert ask([f"cut {' '.join(map(str, case))}" for case in cases]) == expected


def test_automatic_tiles_and_largest_overlaps(ask: Ask) -> None:
    rng = np.random.default_rng(1)
    cases = [
        [int(x) for x in (*rng.integers(1, 9000, 2), rng.integers(1, 10**7), overlap, alignment)]
        for overlap in (0, 5, 32, 100)
        for alignment in (4, 16, 32)
        for _ in range(100)
    ]
    questions = [f"automatic {' '.join(map(str, case))}" for case in cases]
    assert ask(questions) == [str(tiling.automatic(*case)) for case in cases]
    sizes = [(tile, alignment) for tile in range(16, 300) for alignment in (4, 16)]
    expected = [str(tiling.largest_overlap(*size)) for size in sizes]
    assert ask([f"largest {tile} {alignment}" for tile, alignment in sizes]) == expected


SPECS = [
    *PRESETS.values(),
    ModelSpec(levels=(Level(32, convs=0),), window=2),
    ModelSpec(levels=(Level(32, depth=3, convs=1), Level(32)), window=6),
    ModelSpec(levels=(Level(32), Level(32, depth=2), Level(32, convs=4), Level(32)), window=4),
    ModelSpec(levels=(Level(32), Level(32, attention="global"))),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{len(spec.levels)}-{spec.window}")
def test_overlaps(spec: ModelSpec, ask: Ask) -> None:
    exact = tiling.exact_overlap(spec)
    assert ask([f"exact {spec.to_json()}"]) == [str(-1 if exact is None else exact)]
    tiles = [0, 40, 112, 300]
    expected = [str(tiling.default_overlap(spec, tile)) for tile in tiles]
    assert ask([f"default {tile} {spec.to_json()}" for tile in tiles]) == expected


VALUES = [
    *(-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 32, 63, 64, 65, 66, 96, 4095, 4096, 4097, 2**31, 2**64),
    *(1.0, 0.5, True, False, None, "", "4", "window", "global", "hierarchical", "listing", [], {}),
]


def changed_specs() -> Iterator[str]:
    """Every value in every place of a spec, keys and levels that are missing or too many."""
    wide = ModelSpec(levels=(Level(64, depth=2), Level(96)), latent_channels=4)
    for spec in (PRESETS["tiny"], PRESETS["listing"], wide):
        base = json.loads(spec.to_json())
        level = base["levels"][-1]
        for key in base:
            yield json.dumps({k: v for k, v in base.items() if k != key})
            yield from (json.dumps(base | {key: value}) for value in VALUES)
        for key in level:
            others = base["levels"][:-1]
            less = {k: v for k, v in level.items() if k != key}
            yield json.dumps(base | {"levels": [*others, less]})
            for value in VALUES:
                yield json.dumps(base | {"levels": [*others, level | {key: value}]})
        yield from (json.dumps(base | {"levels": [level] * count}) for count in (0, 1, 2, 8, 9))
        yield json.dumps(base | {"more": 1})
        yield json.dumps(base | {"levels": [level | {"more": 1}]})
        yield spec.to_json().replace('"scale"', '"scale":1,"scale"')  # twice
        yield spec.to_json() + "x"
    yield from ("", "null", "[]", "{}", "1", '"listing"', "[" * 100_000)


def accepts(text: str) -> str:
    try:
        ModelSpec.from_json(text)
    except SpecError:
        return "refused"
    return "accepted"


def test_specs_that_are_accepted(ask: Ask) -> None:
    """What one of them accepted alone would be run differently, or half."""
    specs = list(changed_specs())
    expected = [accepts(spec) for spec in specs]
    assert 50 < expected.count("accepted") < 0.9 * len(specs)
    answers = ask([f"spec {spec}" for spec in specs])
    different = [x for x, ours, theirs in zip(specs, expected, answers, strict=True)
                 if ours != theirs]  # fmt: skip
    assert different == []


def test_free_memory(ask: Ask) -> None:
    before = memory.available()
    (answer,) = ask(["memory"])
    low, high = sorted((before, memory.available()))
    assert 0.9 * low < int(answer) < 1.1 * high
