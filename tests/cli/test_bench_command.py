"""`imagen-fast bench` from the command line to its files."""

import json
import os
import subprocess
import sys

import pytest

ONE = ("--size", "16", "--batch", "1", "--threads", "1", "--precision", "fp32", "--peers", "none")


@pytest.fixture(scope="module")
def bench(tiny_path):
    """Run the command in a process of its own on a tiny model."""

    def run(*arguments, duration=15, **environment):
        line = [sys.executable, "-X", "importtime", "-m", "imagen_fast", "bench", "-n", tiny_path]
        line += [*ONE, "--duration", duration, *arguments]
        return subprocess.run(
            [str(part) for part in line],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **environment},
        )

    return run


@pytest.fixture(scope="module")
def first(bench, tmp_path_factory):
    """A run that keeps everything, and its folder."""
    folder = tmp_path_factory.mktemp("bench")
    files = ("--json", folder / "runs.jsonl", "--html", folder / "page.html")
    return bench("--backend", "native,fake", *files), folder


def test_tables_files_and_a_wrong_backend(first):
    done, folder = first
    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, (folder / "runs.jsonl").read_text().splitlines())
    outcomes = {row["runtime"]: row["outcome"] for row in record["rows"]}
    assert outcomes == {"yardstick": "timed", "native": "timed", "fake": "wrong"}
    assert "fake fp32 is wrong:" in done.stdout
    assert "at most" in done.stdout
    assert "cold start" in done.stdout
    page = (folder / "page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "--backend native,fake" in page  # the command is kept
    assert sorted(path.name for path in folder.iterdir()) == ["page.html", "runs.jsonl"]


def test_the_command_itself_loads_no_torch(first):
    done, _ = first
    loaded = [line.rsplit("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line]
    assert "imagen_fast.bench.session" in loaded
    assert not {"torch", "openvino", "onnxruntime", "spandrel"} & set(loaded)


def test_a_slowed_engine_ends_with_exit_code_1(first, bench):
    _, folder = first
    rows = json.loads((folder / "runs.jsonl").read_text())["rows"]
    if "generic" in {row["isa"] for row in rows}:
        pytest.skip("this processor has the generic kernels alone")
    against = ("--backend", "native", "--compare", folder / "runs.jsonl", "--fail-above", "10")
    slow = bench(*against, "-q", IMAGEN_FAST_ISA="generic")
    assert slow.returncode == 1, slow.stderr
    assert "generic now" in slow.stderr
    assert "worse: sr-x2-test, native fp32, 16²:" in slow.stderr
    assert "beside the earlier run" in slow.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--fail-above", "5"), 2, "name it by --compare"),
        (("--size", "0"), 2, "expected numbers from 1 to 8192"),
        (("--size", "64,x"), 2, "expected numbers from 1 to 8192"),
        (("--backend", "none-such"), 2, "no backend 'none-such'"),
        (("--compare", "nothing.json"), 1, "nothing.json: cannot read"),
        (("-n", "nothing"), 1, "no model 'nothing'"),
    ],
    ids=str,
)
def test_wrong_usage_is_said_before_anything_is_measured(command, arguments, code, message):
    done = command("bench", *arguments)
    assert done.exit_code == code
    assert message in done.output
