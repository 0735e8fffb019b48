"""What the suites share: verify, then time; and each device's history, beside which a run stands.

pytest-benchmark keeps every run below benchmarks/results/DEVICE/suites, with the GFLOP/s and
pictures a second of each benchmark, and prints it beside the run before.
`--benchmark-compare-fail=median:15%` ends with an error if one has become slower by more.
"""

from pathlib import Path

import pytest
import torch

from imagen_fast.backends import backend_class
from imagen_fast.bench import machine
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import Bundle
from imagen_fast.graph.cost import flops
from imagen_fast.models.generator import Generator

RESULTS = Path(__file__).parents[1] / "results"


def pytest_configure(config):
    """The history of this device, unless another place was asked for."""
    if config.option.benchmark_storage.endswith("/.benchmarks"):
        place = RESULTS / machine.folder_name(machine.describe()) / "suites"
        config.option.benchmark_storage = f"file://{place}"


def pytest_benchmark_update_machine_info(machine_info):
    """The machine as every record has it; commit and date are kept beside it."""
    facts = machine.describe()
    machine_info.clear()
    machine_info.update({key: facts[key] for key in facts if key not in ("commit", "date")})


@pytest.fixture
def time_backend(benchmark):
    """Time a backend on a picture of a side, if its answer is the reference's."""

    def run(spec, side, precision, name="native"):
        kind = backend_class(name)
        if missing := kind.missing():
            pytest.skip(missing)
        torch.manual_seed(0)
        network = Generator(spec).eval()
        images = pictures(1, side)
        bundle = Bundle(spec, {key: x.numpy() for key, x in network.state_dict().items()})
        backend = kind(bundle, precision=precision)
        with torch.inference_mode():
            y = network(torch.from_numpy(images).permute(0, 3, 1, 2)).clamp(0, 1)
        _, wrong = check(backend.run(images), y.permute(0, 2, 3, 1).numpy(), precision)
        assert not wrong
        benchmark(backend.run, images)
        median = benchmark.stats.stats.median
        benchmark.extra_info["gflops"] = round(flops(bundle.graph, side, side) / 1e9 / median, 1)
        benchmark.extra_info["pictures_per_s"] = round(1 / median, 2)
        backend.close()

    return run
