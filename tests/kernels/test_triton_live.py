"""What a live run launches is compiled as it is launched, on a double of the driver."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
# Where the parts of benchmarks/gpu.sh are, and the harness of gpu_parity.
FOLDERS = [str(ROOT / x) for x in ("benchmarks", "tests", "tests/graph", "tests/parity")]


def compiling(program, cache, *arguments):
    """A program that compiles kernels, in a process without Triton's interpreter."""
    path = ":".join(FOLDERS)
    environment = {**os.environ, "PYTHONPATH": path, "TRITON_INTERPRET": "0"}
    environment["TRITON_CACHE_DIR"] = str(cache)
    source = cache.parent / "program.py"  # Triton reads a kernel's source
    source.write_text(program)
    line = [sys.executable, source, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout, {x: x.stat().st_mtime_ns for x in cache.rglob("*.cubin")}


def test_a_live_run_finds_compiled_what_it_launches(tmp_path):
    program = """
import sys
from pathlib import Path
import gpu_parity
import triton_driver_double as double
from on_gpu.layers import layers
from on_gpu.part import Part
from random_bundles import random_bundle
import torch

if __name__ == "__main__":
    part = Part(Path(sys.argv[1]), "--compile-only")
    if sys.argv[2] == "live":
        double.Launch.run = double.at_once
    bundle = random_bundle(gpu_parity.NARROW)
    with torch.inference_mode():
        for layer in layers(bundle.graph, 1, 3, 517):
            assert gpu_parity.kernel_errors(layer, "bf16", True, part) == {}
        assert gpu_parity.network_errors(bundle, "bf16", part) == {}
    assert part.finish() == 0
"""
    out = tmp_path / "out"
    _, made = compiling(program, tmp_path / "cache", out, "before")
    assert len(made) >= 4  # stem, convolution, attention within and across, head
    rows = [json.loads(x) for x in (out / "rows-bf16.jsonl").read_text().splitlines()]
    assert len(rows) == len(made)
    assert all(row["ok"] and row["seconds"] > 0 for row in rows)
    assert compiling(program, tmp_path / "cache", out, "live")[1] == made


def test_live_runs_of_shipped_models_compile_what_their_bundles_hold(tmp_path):
    """At every size the same forms of kernels, and no others, by Triton's own compiler."""
    program = """
import triton_driver_double as double
driver = double.install()
import numpy as np
from imagen_fast.backends.triton import Triton
from imagen_fast.catalogue import shipped
from imagen_fast.kernels.ahead.compiled import key_of
from imagen_fast.kernels.triton.program import Target, open_sizes, program_of
from imagen_fast.kernels.triton.size import Size
from imagen_fast.bundle import load_bundle

forms = set()
for entry in shipped():
    backend = Triton(load_bundle(entry.path), precision="bf16")
    for size in ((1, 1, 1), (1, 3, 517), (3, 37, 75), (1, 256, 256)):
        key = shapes, samples, wanted = backend._main(size)
        live = backend._plan(key).launches
        given = {}
        for name, shape in shapes:
            x = backend.graph.inputs[name]
            given[name] = np.zeros((*shape, x.channels), np.uint8 if x.picture else np.float32)
        before = driver.launches
        backend.run(given, wanted)
        assert driver.launches - before == len(live)
        graph = backend.needed([name for name, _ in shapes], wanted)
        target = Target(double.ARCHITECTURE, Size("P"), samples)
        bundled = program_of(graph, backend._weights, open_sizes(graph), target).launches
        assert [key_of(x, 90) for x in live] == [key_of(x, 90) for x in bundled]
        forms.update(key_of(x, 90) for x in live)
print(len(forms))
"""
    said, made = compiling(program, tmp_path / "cache")
    assert len(made) == int(said) > 15


def test_a_grid_or_memory_that_no_gpu_has_is_an_error(tmp_path):
    program = """
import pytest, torch, triton, triton.language as tl
import triton_driver_double as double
driver = double.install()

@triton.jit
def kernel(x, SIZE: tl.constexpr):
    a = tl.load(x + tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :])
    tl.store(x + tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :], tl.dot(a, a))

x = torch.empty(256 * 256)
kernel[(1,)](x, 16)
assert driver.launches == 1
with pytest.raises(RuntimeError, match="grid"):
    kernel[(1, 65536)](x, 16)
with pytest.raises(triton.runtime.errors.OutOfResources):
    kernel[(1,)](x, 256, num_warps=8)
"""
    compiling(program, tmp_path / "cache")
