"""benchmarks/gpu.sh rehearsed without a GPU, and what becomes of parts that fail."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from imagen_fast.catalogue import resolve  # noqa: E402

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.sh"
# Where the script finds its parts, and the harness of parity.
FOLDERS = [str(ROOT / x) for x in ("benchmarks", "tests", "tests/graph", "tests/parity")]


@pytest.fixture
def on_gpu(monkeypatch):
    """The package of the parts."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(folder)
    import on_gpu.__main__

    return on_gpu


def rehearse(out, *options):
    """The script as a machine runs it on which this project is not installed."""
    venv.create(bare := out.parent / "bare", with_pip=False)
    environment = {
        **os.environ, "PYTHON": bare / "bin" / "python", "COMMIT": "abc1234",
        "PYTHONPATH": Path(torch.__file__).parents[1], "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment.pop("TRITON_INTERPRET", None)
    line = ["sh", SCRIPT, out, *options]
    return subprocess.run(
        line, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=900
    )


def test_a_whole_run(tmp_path):
    done = rehearse(tmp_path / "out", "--dry-run", "--seconds", "900")
    result = json.loads((tmp_path / "out/gpu.json").read_text())
    parts = result["parts"]
    logs = {name: part.get("log") for name, part in parts.items()}
    assert done.returncode == 0, (done.stdout, done.stderr, logs)
    assert (result["ok"], result["mode"]) == (True, "--dry-run")
    assert {"cpu", "versions", "gpus"} <= result["machine"].keys()
    assert result["machine"]["commit"] == "abc1234"
    assert [x.name for x in (tmp_path / "out").iterdir()] == ["gpu.json"]
    names = ["compile", "parity", "sanitizer", "embedded", "ceilings", "compiled", "kernels"]
    assert list(parts) == names
    for name, part in parts.items():
        assert set(part["exit_codes"]) == {0}, (name, part["log"])
        assert part["rows"], name
        assert not [row for row in part["rows"] if "left_out" in row or row.get("failed")], name
        assert all(row.get("ok", True) for row in part["rows"]), name
        assert any(f" {name}: " in line and "known now" in line for line in result["told"])
    assert [*result["told"]] == done.stdout.splitlines()[: len(result["told"])]
    compared = {row["what"] for row in parts["parity"]["rows"]}
    assert compared == {"network", "overflow", "kernel", "operation"}
    overflows = [row for row in parts["parity"]["rows"] if row["what"] == "overflow"]
    told = {row["weight"]: row["finite"] for row in overflows}
    assert told == {3e38: False, 1e5: False}  # in fp16
    built = {row["what"]: row for row in parts["compile"]["rows"]}
    assert built.keys() == {"program", "bundle"}
    assert built["bundle"]["bytes"] > resolve("sr-x4").stat().st_size / 2  # in fp16
    watched = {row.get("tool") for row in parts["sanitizer"]["rows"]}
    assert {"memcheck", "synccheck", "initcheck", "racecheck"} <= watched
    three = {"triton", "eager", "compiled"}
    for row in parts["kernels"]["rows"]:
        more = {"compiled, SDPA"} if "attention" in row["kernel"] else set()
        assert row["samples_us"].keys() == three | more
        assert all([*row["samples_us"].values(), row["bytes"] > 0, row["flops"] > 0])
    (row,) = parts["embedded"]["rows"]
    assert all([row["ok"], row["samples_us"]["embedded"], row["cold_ms"]])
    (row,) = parts["compiled"]["rows"]
    for place in ("on the device", "from memory to memory"):
        assert row[place]["samples_us"].keys() == three


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


def test_what_the_profiler_prints(on_gpu):
    from on_gpu.embedded import counted

    printed = """==PROF== Profiling "conv_rows_kernel": 0%....100% - 9 passes
12.3456
"ID","Kernel Name","Grid Size","Section Name","Metric Name","Metric Unit","Metric Value"
"0","conv_rows_kernel","(64, 1, 1)","GPU Speed Of Light Throughput","Duration","us","15.49"
"0","conv_rows_kernel","(64, 1, 1)","GPU Speed Of Light Throughput","DRAM Throughput","%","61.0"
"0","conv_rows_kernel","(64, 1, 1)","GPU Speed Of Light Throughput","","",""
"1","stem_kernel","(2048, 1, 1)","GPU Speed Of Light Throughput","Duration","us","4.10"
"""
    conv, stem = counted(printed)
    assert conv == {
        "kernel": "conv_rows_kernel", "grid": "(64, 1, 1)",
        "counters": {"Duration, us": "15.49", "DRAM Throughput, %": "61.0"},
    }  # fmt: skip
    assert stem["counters"] == {"Duration, us": "4.10"}
    assert counted("==ERROR== no permission\n") == []


def test_algorithms_are_not_chosen_by_timing_where_answers_are_compared(on_gpu, tmp_path):
    from on_gpu.part import Part

    for exact in (True, False):
        Part(tmp_path, "--dry-run", exact=exact)
        assert torch.backends.cudnn.benchmark is not exact
        assert torch.backends.cudnn.deterministic is exact


# Options come after the code: --out FOLDER --seconds S.
ROW = "import sys, pathlib; f = pathlib.Path(sys.argv[2]) / 'rows-x.jsonl'; f.write_text({!r})"
CHILD = "; import subprocess; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
RIGHT = '{"ok": true}\n'
# Programs of a part, their exit codes, its rows, whether it says no, and whether it is whole.
ENDS = {
    "fails": (["raise SystemExit('no')"], [1], [], True, False),
    "wrong, cut off": (
        [ROW.format('{"ok": false}\n{"ok": tr'), "pass"], [0, 0], [{"ok": False}], True, True
    ),
    "right": ([ROW.format(RIGHT)], [0], [{"ok": True}], False, True),
    "hangs with its child": ([ROW.format(RIGHT) + CHILD], [None], [{"ok": True}], False, False),
}  # fmt: skip


@pytest.mark.parametrize(("codes", "exits", "rows", "says_no", "whole"), ENDS.values(), ids=ENDS)
def test_how_a_part_ends(on_gpu, tmp_path, monkeypatch, codes, exits, rows, says_no, whole):
    main = on_gpu.__main__
    monkeypatch.setattr(main, "GRACE", -4 if None in exits else 10)
    lines = tuple((sys.executable, "-c", code) for code in codes)
    step = main.Step("a part", 1.0, lines, decides=True)
    found = main.run(step, tmp_path, 5 if None in exits else 20)
    assert found["exit_codes"] == exits, found["log"]
    assert found["rows"] == rows  # what it had is kept
    assert found["seconds"] < 30
    assert main.failed(step, found) is says_no
    assert not main.failed(main.Step("a part", 1.0, lines), found)
    assert on_gpu.report.whole(found) is whole
    first = next(on_gpu.report.summary({"parts": {"a part": {**found, "failed": False}}}))
    assert ("not finished within its time" in first) is (None in exits)
    assert "no" in found["log"][0] or exits != [1]


def test_no_part_outlives_what_ran_it(on_gpu, tmp_path, monkeypatch):
    main, told = on_gpu.__main__, tmp_path / "pid"
    code = f"import os, time; open({str(told)!r}, 'w').write(f'{{os.getpid()}} '); time.sleep(60)"

    def interrupted(process, seconds):
        while not told.exists() or not told.read_text().endswith(" "):
            assert process.poll() is None
        raise SystemExit(1)  # as SIGTERM does

    monkeypatch.setattr(main, "ended", interrupted)
    with pytest.raises(SystemExit):
        main.run(main.Step("a part", 1.0, ((sys.executable, "-c", code),)), tmp_path, 20)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_a_missing_sanitizer_is_said(on_gpu, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {step.name: step for step in on_gpu.__main__.steps("")}
    assert sum(step.share for step in found.values()) == pytest.approx(1.0)
    sanitizer = found["sanitizer"]
    (line,) = (x for x in sanitizer.commands if x[0] == "compute-sanitizer")
    assert line[line.index("--report-api-errors") + 1] == "no"
    said = on_gpu.__main__.run(sanitizer, tmp_path, 50)
    assert said == {"left_out": "compute-sanitizer is not installed here"}
    assert not on_gpu.__main__.failed(sanitizer, said)
