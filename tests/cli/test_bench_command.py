"""`imagen-fast bench` from the command line to its files."""

import json
import os
import signal
import subprocess
import sys

import pytest

ONE = ("--size", "16", "--threads", "1", "--precision", "fp32", "--peers", "none")
BEFORE = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


def test_table_files_and_a_wrong_backend(tiny_path, tmp_path):
    line = [sys.executable, "-X", "importtime", "-m", "imagen_fast", "bench", "-n", tiny_path, *ONE]
    line += ["--backend", "native,fake", "--duration", "60"]
    line += ["--json", tmp_path / "runs.jsonl", "--html", tmp_path / "page.html"]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (made,) = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert [row["runtime"] for row in made["rows"]] == ["native", "fake"]
    assert "--backend native,fake" in made["command"]
    assert "wrong: " in done.stdout
    for heading in ("p50 ms", "Mpx/s", "dB", "start s", "MB"):
        assert heading in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "p50 ms" in page
    assert "http" not in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "runs.jsonl"]
    loaded = [line.rsplit("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line]
    assert "imagen_fast.bench.session" in loaded
    assert not {"torch", "openvino", "onnxruntime", "matplotlib"} & set(loaded)


def test_exported_files_are_measured_as_well(command, tiny_path, tmp_path):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    exported = tmp_path / "a.onnx"
    assert command("export", tiny_path, "-o", exported, "--no-verify").exit_code == 0
    line = ("bench", "-n", exported, *ONE, "--backend", "native", "--duration", "2")
    done = command(*line, "--json", tmp_path / "a.json")
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert (row["runtime"], len(row["samples_ms"]) > 0) == ("native", True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--size", "0"), 2, "expected numbers from 1 to 8192"),
        (("--size", "64,x"), 2, "expected numbers from 1 to 8192"),
        (("--backend", "none-such"), 2, "no backend 'none-such'"),
        (("-n", "nothing"), 1, "no model 'nothing'"),
        (("-n", "stylize"), 1, "it needs tokens beside a picture; its command is stylize"),
        (("--json", "a.txt"), 2, "a.txt: expected a name that ends in .json or .jsonl"),
        (("--html", "a.json"), 2, "a.json: expected a name that ends in .html"),
        (("--json", "pipe.json"), 1, "pipe.json: it is a device or a pipe"),
        (("--json", "there.json"), 1, "there.json exists; name another, or replace it"),
        (("--html", "/proc/page.html"), 1, "/proc/page.html: cannot write"),
        (
            ("--peers", "none", "--backend", "native", "--precision", "fp16"),
            1,
            "nothing to measure",
        ),
        (("--peers", "none", "--backend", "native", "--device", "cuda"), 1, "it computes in"),
    ],
    ids=str,
)
def test_wrong_usage_is_said_before_anything_is_measured(
    command, arguments, code, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("of yesterday")
    os.mkfifo(tmp_path / "pipe.json")
    done = command("bench", *arguments)
    assert done.exit_code == code
    assert message in done.output


def test_measuring_nothing_is_an_error(command, tiny_path, tmp_path):
    kept = tmp_path / "runs.json"
    done = command(
        "bench", "-n", tiny_path, *ONE, "--backend", "fake", "--duration", "9", "--json", kept
    )
    assert done.exit_code == 1
    assert "nothing could be measured: wrong: " in done.output
    assert not kept.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_processes_and_leaves_nothing(tiny_path, tmp_path, number):
    line = [sys.executable, "-m", "imagen_fast", "bench", "-n", tiny_path, *ONE]
    process = subprocess.Popen(
        [*map(str, line), "--backend", "native,fake", "--duration", "100"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        preexec_fn=lambda: signal.signal(number, BEFORE[number]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while "in turns" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, stdout) == (128 + number, "")
    assert stderr == "interrupted\n"  # no semaphores that are left
    assert not list(tmp_path.iterdir())
