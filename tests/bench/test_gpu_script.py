"""benchmarks/gpu.sh rehearsed without a GPU, and what becomes of parts that fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"


@pytest.fixture
def on_gpu(monkeypatch):
    """The package of the parts."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import on_gpu.__main__

    return on_gpu


def rehearse(out, *options):
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    line = ["sh", SCRIPT, out, "--dry-run", *options]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=200)


def test_a_whole_run(tmp_path):
    done = rehearse(tmp_path / "out")
    result = json.loads((tmp_path / "out/gpu.json").read_text())
    logs = {name: part.get("log") for name, part in result["parts"].items()}
    assert done.returncode == 0, (done.stdout, done.stderr, logs)
    assert result["ok"]
    assert result["dry_run"]
    assert {"cpu", "versions", "commit", "gpus"} <= result["machine"].keys()
    names = ["parity", "sanitizer", "ceilings", "tuning", "kernels", "embedded"]
    names.append("end to end")
    assert list(result["parts"]) == names
    for name, part in result["parts"].items():
        assert part["exit_codes"] == [0], (name, part["log"])
        assert part["rows"], name
        assert not [row for row in part["rows"] if "left_out" in row or row.get("failed")], name
        assert all(row.get("ok", True) for row in part["rows"]), name
        assert name in done.stdout
    parity = {row["what"] for row in result["parts"]["parity"]["rows"]}
    assert parity == {"network", "listing", "overflow", "kernel"}
    for row in result["parts"]["kernels"]["rows"]:
        assert {"triton", "triton, default sizes", "eager", "compiled"} <= row["samples_us"].keys()
        assert all(row["samples_us"].values())
        assert row["bytes"] > 0
        assert row["flops"] > 0
        assert not row["failed"]
    made, row = result["parts"]["embedded"]["rows"]
    assert made["bytes"] > 1e6
    assert row["ok"]
    assert row["median_us"]["embedded"] > 0
    assert row["cold_ms"]
    (row,) = result["parts"]["end to end"]["rows"]
    for place in ("on the device", "from memory to memory"):
        assert row[place]["median_us"].keys() == {"triton", "eager", "compiled"}
    (tuned,) = (tmp_path / "out/tuning").glob("*.json")
    assert json.loads(tuned.read_text())["gpu"] == "none"


def step(on_gpu, *codes, decides=True):
    commands = tuple((sys.executable, "-c", code) for code in codes)
    return on_gpu.__main__.Step("a part", 1.0, commands, decides)


# Options come after the code: --out FOLDER --seconds S.
ROW = "import sys, pathlib; f = pathlib.Path(sys.argv[2]) / 'rows-x.jsonl'; "


def test_a_part_that_fails_decides(on_gpu, tmp_path):
    main = on_gpu.__main__
    found = main.run(step(on_gpu, "raise SystemExit('no')"), tmp_path, 20, dry=True)
    assert found["exit_codes"] == [1]
    assert "no" in found["log"][0]
    assert main.failed(step(on_gpu, ""), found)
    assert not main.failed(step(on_gpu, "", decides=False), found)
    wrong = ROW + """f.write_text('{"ok": false}\\n{"ok": tr')"""  # cut off in the middle
    found = main.run(step(on_gpu, wrong, "pass"), tmp_path, 20, dry=True)
    assert found["exit_codes"] == [0, 0]
    assert found["rows"] == [{"ok": False}]
    assert main.failed(step(on_gpu, ""), found)


def test_a_part_that_hangs_is_ended_with_its_children(on_gpu, tmp_path, monkeypatch):
    main = on_gpu.__main__
    monkeypatch.setattr(main, "GRACE", -4)
    child = "import subprocess, sys; x = [sys.executable, '-c', 'import time; time.sleep(60)']; "
    hangs = ROW + child + """f.write_text('{"ok": true}\\n'); subprocess.run(x)"""
    found = main.run(step(on_gpu, hangs), tmp_path, 5, dry=True)
    assert found["exit_codes"] == [None]
    assert found["rows"] == [{"ok": True}]  # what it had is kept
    assert found["seconds"] < 30
    assert not main.failed(step(on_gpu, ""), found)
    (line,) = on_gpu.report.summary({"parts": {"a part": {**found, "failed": False}}})
    assert "not finished within its time" in line


def test_a_missing_sanitizer_is_said(on_gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (sanitizer,) = (x for x in on_gpu.__main__.steps(dry=False) if x.name == "sanitizer")
    found = on_gpu.__main__.run(sanitizer, tmp_path, 50, dry=False)
    assert found == {"left_out": "compute-sanitizer is not installed here"}
    assert not on_gpu.__main__.failed(sanitizer, found)
    assert sum(x.share for x in on_gpu.__main__.steps(dry=False)) == pytest.approx(1.0)


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


def test_what_is_wrong_is_not_timed(monkeypatch):
    """Nor is what fails; and if the default is wrong, nothing is."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import tune_triton
    from on_gpu.layers import Layer

    layer = Layer("stem", (1, 2, 3), 32, image_channels=3, scale=1)
    right = {"block_m": 64, "block_n": 32, "num_warps": 4, "num_stages": 1}
    assert tune_triton.checked([layer], "fp16", "cpu", right) == ""
    broken = {**right, "block_m": 48}  # no power of two
    assert "Error" in tune_triton.checked([layer], "fp16", "cpu", broken)
    group = tune_triton.Group("stem", "c32_i3_fp16", {layer: 1})
    row = tune_triton.tune(group, [(broken, "wrong"), (right, "")], None, "fp16")
    assert not row["ok"]
    assert "best" not in row
    offered = list(tune_triton.candidates("conv_block", on_hopper=True))
    assert {c["form"] for c in offered} == {"rows", "taps", "cudnn"}
    assert any(c.get("descriptor") for c in offered)
    assert not any(c.get("descriptor") for c in tune_triton.candidates("conv_block", False))
