"""What every suite shares: verify, then time; and a line of results a run.

The line goes to benchmarks/results/DEVICE/suites.jsonl: machine, commit and versions, and for
every benchmark its median, quartiles and GFLOP/s.
"""

import json
from pathlib import Path

import pytest
import torch

from imagen_fast.backends import backend_class
from imagen_fast.bench import machine
from imagen_fast.bench.picture import pictures
from imagen_fast.bench.stage import WORST_PSNR
from imagen_fast.bundle import Bundle
from imagen_fast.graph.cost import flops
from imagen_fast.metrics import psnr
from imagen_fast.models.generator import Generator

RESULTS = Path(__file__).parents[1] / "results"
ROWS = pytest.StashKey()


@pytest.fixture
def keep(benchmark, request):
    """Run `work` again and again, and keep what it took; `gflop` is what it costs by arithmetic."""

    def run(work, gflop):
        benchmark(work)
        stats = benchmark.stats.stats
        benchmark.extra_info["gflops"] = round(gflop / stats.median, 1)
        row = {
            "name": request.node.nodeid.partition("::")[2],
            **{key: round(getattr(stats, key) * 1e3, 4) for key in ("median", "q1", "q3")},
            "rounds": stats.rounds,
            "gflops": benchmark.extra_info["gflops"],
        }
        request.config.stash.setdefault(ROWS, []).append(row)

    return run


@pytest.fixture
def time_backend(keep):
    """Time a backend on a picture of a side, if its answer is the reference's."""

    def run(spec, side, precision, name="native"):
        kind = backend_class(name)
        if missing := kind.missing():
            pytest.skip(missing)
        torch.manual_seed(0)
        network = Generator(spec).eval()
        images = pictures(1, side)
        tensors = {key: x.numpy() for key, x in network.state_dict().items()}
        backend = kind(Bundle(spec, tensors), precision=precision)
        with torch.inference_mode():
            y = network(torch.from_numpy(images).permute(0, 3, 1, 2)).clamp(0, 1)
        found = psnr(backend.run(images), y.permute(0, 2, 3, 1).numpy())
        assert found > WORST_PSNR[precision], f"wrong: {found:.1f} dB to the reference"
        keep(lambda: backend.run(images), flops(network(spec), side, side) / 1e9)
        backend.close()

    return run


@pytest.fixture
def cuda():
    """The GPU; skips without one."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return torch.device("cuda")


def pytest_sessionfinish(session):
    """Add the line."""
    rows = session.config.stash.get(ROWS, [])
    if rows:
        facts = machine.describe()
        path = RESULTS / machine.folder_name(facts) / "suites.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps({"machine": facts, "load": machine.load(), "rows": rows}) + "\n")
