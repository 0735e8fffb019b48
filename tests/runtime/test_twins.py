"""Where C++ does what Python does, for programs without Python: both say the same."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imagen_fast import tile_sizes, tiling
from imagen_fast.bundle import Bundle
from imagen_fast.errors import TilingError
from imagen_fast.spec import PRESETS

ROOT = Path(__file__).parents[2]
RUNTIME = [f"imagen_fast/runtime/{name}.cc" for name in ("tiling", "view")]

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
        grid = tiling.cut(height, width, tile, overlap, alignment)
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
        [*rng.integers(1, 9000, 2), rng.integers(1, 10**7), overlap, alignment, largest]
        for overlap in (0, 5, 32, 100)
        for alignment in (4, 16, 32)
        for largest in (512, 1024)
        for _ in range(50)
    ]
    questions = [f"automatic {' '.join(map(str, case))}" for case in cases]
    assert ask(questions) == [str(tile_sizes.automatic(*case)) for case in cases]
    sizes = [(tile, alignment) for tile in range(16, 300) for alignment in (4, 16)]
    expected = [str(tiling.largest_overlap(*size)) for size in sizes]
    assert ask([f"largest {tile} {alignment}" for tile, alignment in sizes]) == expected


@pytest.mark.parametrize("exact", [None, 0, 16, 32, 100])
@pytest.mark.parametrize("alignment", [1, 8, 16, 32])
def test_default_overlaps(exact: int | None, alignment: int, ask: Ask) -> None:
    facts = {"alignment": str(alignment)}
    if exact is not None:
        facts["exact_overlap"] = str(exact)
    network = Bundle(PRESETS["tiny"], {}, facts)
    tiles = [0, 40, 112, 300]
    expected = [str(tile_sizes.default_overlap(network, tile)) for tile in tiles]
    known = -1 if exact is None else exact
    assert ask([f"default {tile} {alignment} {known}" for tile in tiles]) == expected
