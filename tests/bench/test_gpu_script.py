"""benchmarks/gpu.sh rehearsed without a GPU, and what becomes of parts that fail."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from imagen_fast.catalogue import resolve  # noqa: E402
from imagen_fast.graph import network  # noqa: E402

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


@pytest.fixture
def on_gpu(monkeypatch):
    """The package of the parts."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import on_gpu.__main__

    return on_gpu


def rehearse(out, *options, **environment):
    """The script as a machine runs it on which this project is not installed."""
    venv.create(bare := out.parent / "bare", with_pip=False)
    libraries = Path(torch.__file__).parents[1]
    environment = {
        **os.environ, "PYTHON": bare / "bin" / "python", "PYTHONPATH": libraries,
        "OMP_NUM_THREADS": "1", "COMMIT": "abc1234", **environment,
    }  # fmt: skip
    environment.pop("TRITON_INTERPRET", None)
    line = ["sh", SCRIPT, out, *options]
    return subprocess.run(
        line, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=900
    )


def test_a_whole_run(tmp_path):
    done = rehearse(tmp_path / "out", "--dry-run", "--seconds", "900")
    result = json.loads((tmp_path / "out/gpu.json").read_text())
    logs = {name: part.get("log") for name, part in result["parts"].items()}
    assert done.returncode == 0, (done.stdout, done.stderr, logs)
    assert result["ok"]
    assert result["mode"] == "--dry-run"
    assert {"cpu", "versions", "gpus"} <= result["machine"].keys()
    assert result["machine"]["commit"] == "abc1234"
    assert [x.name for x in (tmp_path / "out").iterdir()] == ["gpu.json"]
    names = ["compile", "parity", "sanitizer", "embedded", "ceilings", "compiled", "kernels"]
    assert list(result["parts"]) == names
    for name, part in result["parts"].items():
        assert set(part["exit_codes"]) == {0}, (name, part["log"])
        assert part["rows"], name
        assert not [row for row in part["rows"] if "left_out" in row or row.get("failed")], name
        assert all(row.get("ok", True) for row in part["rows"]), name
        assert any(f" {name}: " in line and "known now" in line for line in result["told"])
    assert [*result["told"]] == done.stdout.splitlines()[: len(result["told"])]
    parity = {row["what"] for row in result["parts"]["parity"]["rows"]}
    assert parity == {"network", "listing", "overflow", "kernel"}
    built = {row["what"]: row for row in result["parts"]["compile"]["rows"]}
    assert built.keys() == {"program", "bundle"}
    weights = resolve("sr-x4").stat().st_size / 2  # in fp16
    assert built["bundle"]["bytes"] > weights
    told = {row["weight"]: row["finite"] for row in result["parts"]["parity"]["rows"]
            if row["what"] == "overflow"}  # fmt: skip
    assert told == {3e38: False, 1e5: False}  # in fp16
    watched = [row.get("tool") for row in result["parts"]["sanitizer"]["rows"]]
    assert {"memcheck", "synccheck", "initcheck", "racecheck"} <= set(watched)
    for row in result["parts"]["kernels"]["rows"]:
        assert {"triton", "eager", "compiled"} <= row["samples_us"].keys()
        assert all(row["samples_us"].values())
        assert row["bytes"] > 0
        assert row["flops"] > 0
        assert not row["failed"]
    (row,) = result["parts"]["embedded"]["rows"]
    assert row["ok"]
    assert row["median_us"]["embedded"] > 0
    assert row["cold_ms"]
    (row,) = result["parts"]["compiled"]["rows"]
    for place in ("on the device", "from memory to memory"):
        assert row[place]["median_us"].keys() == {"triton", "eager", "compiled"}


def test_without_git_the_commit_is_passed_in(tmp_path):
    """Not that of a repository that the folder happens to lie in."""
    copy = tmp_path / "benchmarks" / "gpu.sh"
    copy.parent.mkdir()
    copy.write_text(SCRIPT.read_text())
    subprocess.run(["git", "init", "-q", tmp_path.parent], check=True)
    environment = {**os.environ, "PYTHON": "echo"}
    environment.pop("COMMIT", None)
    line = ["sh", copy, tmp_path / "out"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "pass COMMIT=$(git describe --always --dirty)" in done.stderr
    (tmp_path / "imagen_fast").mkdir()
    done = subprocess.run(line, capture_output=True, env={**environment, "COMMIT": "abc"})
    assert done.returncode == 0


def test_a_live_run_finds_compiled_what_it_launches(tmp_path):
    program = """
import sys
from on_gpu import parity
from on_gpu.layers import layers
from on_gpu.part import Part
import torch
part = Part("A part.", ["--out", sys.argv[1], "--compile-only", "--dtype", "bf16"])
if sys.argv[2] == "live":
    from on_gpu import compiler
    compiler.Launch.run = compiler.at_once
bundle = parity.network_bundle(parity.NARROW)
with torch.inference_mode():
    for layer in layers(bundle.graph, 1, 3, 517):
        assert parity.kernel_errors(layer, "bf16", part) == {}
    assert parity.network_errors(bundle, "bf16", part) == {}
assert part.finish() == 0
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "TRITON_INTERPRET": "0"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path / "cache")

    def compiled(*mode):
        line = [sys.executable, "-c", program, tmp_path / "out", *mode]
        subprocess.run(line, check=True, env=environment)
        return {x: x.stat().st_mtime_ns for x in (tmp_path / "cache").rglob("*.cubin")}

    made = compiled("before")
    assert len(made) >= 4  # stem, convolution, attention within and across, head
    rows = [json.loads(x) for x in (tmp_path / "out" / "rows-bf16.jsonl").read_text().splitlines()]
    assert len(rows) == len(made)
    assert all(row["ok"] and row["seconds"] > 0 for row in rows)
    assert compiled("live") == made


def test_live_runs_of_shipped_models_compile_what_their_bundles_hold(tmp_path):
    """At every size the same forms of kernels, and no others, by Triton's own compiler."""
    program = """
from on_gpu import compiler
driver = compiler.install()
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
        target = Target(compiler.ARCHITECTURE, Size("P"), samples)
        bundled = program_of(graph, backend._weights, open_sizes(graph), target).launches
        assert [key_of(x, 90) for x in live] == [key_of(x, 90) for x in bundled]
        forms.update(key_of(x, 90) for x in live)
print(len(forms))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "TRITON_INTERPRET": "0"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("*.cubin"))) == int(done.stdout) > 15


def test_a_grid_or_memory_that_no_gpu_has_is_an_error():
    program = """
import pytest, torch, triton, triton.language as tl
from on_gpu import compiler
driver = compiler.install()

@triton.jit
def kernel(x, SIZE: tl.constexpr):
    a = tl.load(x + tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :])
    tl.store(x + tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :], tl.dot(a, a))

x = torch.empty(512 * 512)
kernel[(1,)](x, 16)
assert driver.launches == 1
with pytest.raises(RuntimeError, match="grid"):
    kernel[(1, 65536)](x, 16)
with pytest.raises(triton.runtime.errors.OutOfResources):
    kernel[(1,)](x, 512, num_warps=8)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks"), "TRITON_INTERPRET": "0"}
    source = ROOT / "build" / "test_compiler_kernel.py"  # Triton reads a kernel's source
    source.parent.mkdir(exist_ok=True)
    source.write_text(program)
    try:
        done = subprocess.run([sys.executable, source], env=environment, capture_output=True)
    finally:
        source.unlink()
    assert done.returncode == 0, done.stderr.decode()


def test_what_is_not_written_or_read_too_early_is_not_right(on_gpu, monkeypatch, tmp_path):
    from on_gpu import cases, parity
    from on_gpu.layers import layers
    from on_gpu.part import Part

    part = Part("A part.", ["--out", str(tmp_path), "--dry-run"], exact=True)
    found = layers(network(parity.NARROW), 1, 2, 3)
    layer = next(x for x in found if x.name.startswith("convolution, 32 of 32"))
    assert parity.kernel_errors(layer, "fp16", part)["ok"]
    right = cases.make(layer, "fp16", part.device)
    as_it_should = right.ours().clone()

    def leaving_one():
        (out, *_) = right.written
        left = out[0, 1, 2, 5].clone()
        out.copy_(as_it_should)
        out[0, 1, 2, 5] = left
        return out

    monkeypatch.setattr(right, "ours", leaving_one)
    monkeypatch.setattr(cases, "make", lambda *_: right)
    found = parity.kernel_errors(layer, "fp16", part)
    assert not found["written"]
    assert not found["ok"]


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_the_overflow_check_takes_right_code_and_no_other(on_gpu, monkeypatch, dtype, tmp_path):
    """Judged by the reference, which computes in every dtype on a CPU."""
    from on_gpu import parity
    from on_gpu.part import DTYPES, Part

    from imagen_fast.models.build import build

    class Right:
        def __init__(self, bundle, precision, device):
            self.network = build(bundle).to(DTYPES[precision])

        def run(self, tiles):
            x = torch.from_numpy(tiles).movedim(3, 1).to(next(self.network.parameters()).dtype)
            with torch.inference_mode():
                y = self.network(x / 255)
            if not torch.isfinite(y).all():
                raise parity.NonFiniteError("not finite")

    class Silent(Right):
        def run(self, tiles):
            pass

    class Shy(Right):
        def run(self, tiles):
            raise parity.NonFiniteError("not finite")

    part = Part("A part.", ["--out", str(tmp_path), "--dry-run"])

    def verdicts(backend):
        monkeypatch.setattr(parity, "Triton", backend)
        return [parity.overflow(dtype, part, weight)["ok"] for weight in (3e38, 1e5)]

    small = dtype == "fp16"
    assert verdicts(Right) == [True, True]
    assert verdicts(Silent) == [False, not small]
    assert verdicts(Shy) == [True, small]


def test_the_truth_is_of_the_weights_as_they_are(on_gpu, monkeypatch, tmp_path):
    """Not of those that were rounded for the comparison: a network errs by its own rounding."""
    from on_gpu import parity
    from on_gpu.part import Part

    from imagen_fast.backends.eager import Eager

    given = {}
    monkeypatch.setattr(
        parity.timing,
        "errors",
        lambda ours, theirs, truth: given.update(truth=truth) or {"ok": True},
    )
    part = Part("A part.", ["--out", str(tmp_path), "--dry-run"])
    bundle = parity.network_bundle(parity.NARROW)
    parity.network_errors(bundle, "fp16", part)
    tiles = np.random.default_rng(0).integers(0, 256, (2, 3, 2, 3), np.uint8)
    whole = Eager(bundle, device="cpu", precision="fp32")
    floats = tiles.astype(np.float32) / np.float32(255)
    coarsest = len(bundle.spec.levels) - 1
    name = f"picture.{coarsest}" if coarsest else "picture"
    expected = whole.run({"image": floats}, [name])[name]
    np.testing.assert_allclose(given["truth"].numpy(), expected, atol=2e-5)


def test_algorithms_are_not_chosen_by_timing_where_answers_are_compared(on_gpu, tmp_path):
    from on_gpu.part import Part

    for exact in (True, False):
        Part("A part.", ["--out", str(tmp_path), "--dry-run"], exact=exact)
        assert torch.backends.cudnn.benchmark is not exact
        assert torch.backends.cudnn.deterministic is exact


def step(on_gpu, *codes, decides=True):
    commands = tuple((sys.executable, "-c", code) for code in codes)
    return on_gpu.__main__.Step("a part", 1.0, commands, decides=decides)


# Options come after the code: --out FOLDER --seconds S.
ROW = "import sys, pathlib; f = pathlib.Path(sys.argv[2]) / 'rows-x.jsonl'; "


def test_a_part_that_fails_decides(on_gpu, tmp_path):
    main = on_gpu.__main__
    found = main.run(step(on_gpu, "raise SystemExit('no')"), tmp_path / "1", 20)
    assert found["exit_codes"] == [1]
    assert "no" in found["log"][0]
    assert main.failed(step(on_gpu, ""), found)
    assert not on_gpu.report.whole(found)
    assert not main.failed(step(on_gpu, "", decides=False), found)
    wrong = ROW + """f.write_text('{"ok": false}\\n{"ok": tr')"""  # cut off in the middle
    found = main.run(step(on_gpu, wrong, "pass"), tmp_path / "2", 20)
    assert found["exit_codes"] == [0, 0]
    assert found["rows"] == [{"ok": False}]
    assert main.failed(step(on_gpu, ""), found)


def test_a_part_that_hangs_is_ended_with_its_children(on_gpu, tmp_path, monkeypatch):
    main = on_gpu.__main__
    monkeypatch.setattr(main, "GRACE", -4)
    child = "import subprocess, sys; x = [sys.executable, '-c', 'import time; time.sleep(60)']; "
    hangs = ROW + child + """f.write_text('{"ok": true}\\n'); subprocess.run(x)"""
    found = main.run(step(on_gpu, hangs), tmp_path, 5)
    assert found["exit_codes"] == [None]
    assert found["rows"] == [{"ok": True}]  # what it had is kept
    assert found["seconds"] < 30
    assert not main.failed(step(on_gpu, ""), found)
    assert not on_gpu.report.whole(found)
    (line,) = on_gpu.report.summary({"parts": {"a part": {**found, "failed": False}}})
    assert "not finished within its time" in line


def test_a_missing_sanitizer_is_said(on_gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (sanitizer,) = (x for x in on_gpu.__main__.steps(dry=False) if x.name == "sanitizer")
    found = on_gpu.__main__.run(sanitizer, tmp_path, 50)
    assert found == {"left_out": "compute-sanitizer is not installed here"}
    assert not on_gpu.__main__.failed(sanitizer, found)
    assert sum(x.share for x in on_gpu.__main__.steps(dry=False)) == pytest.approx(1.0)


def test_the_sanitizer_is_told_to_leave_calls_that_fail_alone(on_gpu):
    from on_gpu.embedded import SANITIZER

    (sanitizer,) = (x for x in on_gpu.__main__.steps(dry=False) if x.name == "sanitizer")
    for line in (SANITIZER, sanitizer.commands[1]):
        assert line[0] == "compute-sanitizer"
        assert line[line.index("--report-api-errors") + 1] == "no"


def test_a_wrong_answer_is_not_right(on_gpu):
    from on_gpu.timing import errors

    truth = torch.randn(100, dtype=torch.float64)
    theirs = truth.half()
    assert errors(theirs, theirs, truth)["ok"]
    off = theirs.clone()
    off[3] += 0.1
    assert not errors(off, theirs, truth)["ok"]
    off[3] = torch.nan
    assert not errors(off, theirs, truth)["ok"]
