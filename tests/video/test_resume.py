"""A killed run loses a segment at most, and nothing of what it made can be told afterwards."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FRAMES = 420  # four segments of 120 frames or less


@pytest.fixture(scope="module")
def source(make, tmp_path_factory):
    return make(tmp_path_factory.mktemp("source") / "a.mp4", frames=FRAMES, sound=True)


def start(source: Path, out: Path, model: Path, *more: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "imagen_fast", "video", source, "-o", out, "-n", model]
    return subprocess.Popen(
        [*map(str, line), "--backend", "fake", *more],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)  # a segment takes many times as long


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_what_is_finished_is_kept_and_the_result_is_the_same(
    source, fake_model, video, look_at, tmp_path, how
):
    out, parts = tmp_path / "b.mp4", tmp_path / "b.mp4.parts"
    segments = [parts / f"{number:06d}.packets" for number in range(4)]
    for segment in segments[:2]:  # killed twice, each time a segment further
        process = start(source, out, fake_model)
        wait_for(segment, process)
        process.send_signal(how)
        process.communicate()
        assert process.returncode == (-9 if how == signal.SIGKILL else 128 + how)
        assert not out.exists()
    before = segments[0].stat().st_mtime_ns
    process = start(source, out, fake_model)
    wait_for(segments[2], process)
    assert segments[0].stat().st_mtime_ns == before
    assert process.wait() == 0
    assert process.stdout is not None
    assert "240 from an earlier run" in process.stdout.read()
    whole = tmp_path / "whole.mp4"
    assert video(source, "-o", whole).exit_code == 0
    assert out.read_bytes() == whole.read_bytes()
    assert len(look_at.times(out)) == FRAMES
    assert not parts.exists()


def test_an_interrupted_run_says_what_is_kept(source, fake_model, tmp_path):
    out = tmp_path / "b.mp4"
    process = start(source, out, fake_model)
    wait_for(tmp_path / "b.mp4.parts" / "000000.packets", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert f"120 frames are kept in {out}.parts, and the same command goes on" in errors
    assert errors.endswith("\ninterrupted\n")


SLOW = """
import sys, time
from pathlib import Path
from imagen_fast.cli import main
from imagen_fast.engine import Engine

def compute(self, picture):
    Path(sys.argv[1]).touch()
    time.sleep(100)  # as a large frame takes

Engine.__call__ = compute
main(sys.argv[2:])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_no_frame(source, fake_model, tmp_path, number):
    """And leaves nothing of a run that has finished nothing."""
    line = [sys.executable, "-c", SLOW, tmp_path / "computing", "video", source, "-n", fake_model]
    line += ["-o", tmp_path / "b.mp4", "--backend", "fake"]
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}[number]
    process = subprocess.Popen(
        list(map(str, line)), stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, usual),
    )  # fmt: skip
    wait_for(tmp_path / "computing", process)
    process.send_signal(number)
    said = "no segment of 120 frames was whole, so nothing is kept\ninterrupted\n"
    assert process.communicate(timeout=50) == (None, said)
    assert process.returncode == 128 + number
    assert [path.name for path in tmp_path.iterdir()] == ["computing"]


def test_a_damaged_segment_is_made_again(source, fake_model, video, tmp_path):
    out, parts = tmp_path / "b.mp4", tmp_path / "b.mp4.parts"
    process = start(source, out, fake_model)
    wait_for(parts / "000001.packets", process)
    process.kill()
    process.communicate()
    damaged = bytearray((parts / "000000.packets").read_bytes())
    damaged[-5] ^= 1
    (parts / "000000.packets").write_bytes(damaged)
    (parts / "000001.packets").write_bytes(b'{"packets": 3}')
    assert video(source, "-o", out).exit_code == 0
    assert video(source, "-o", tmp_path / "whole.mp4").exit_code == 0
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_parts_of_another_command_are_neither_used_nor_lost(source, fake_model, video, tmp_path):
    out, parts = tmp_path / "b.mp4", tmp_path / "b.mp4.parts"
    process = start(source, out, fake_model, "--crf", "30")
    wait_for(parts / "000000.packets", process)
    process.kill()
    process.communicate()
    done = video(source, "-o", out)
    assert done.exit_code == 1
    assert "with other settings (form)" in done.output
    assert (parts / "000000.packets").exists()
    assert video(source, "-o", out, "--overwrite").exit_code == 0
    assert not parts.exists()


def test_two_processes_do_not_make_one_file(source, fake_model, video, tmp_path):
    out = tmp_path / "b.mp4"
    process = start(source, out, fake_model)
    wait_for(tmp_path / "b.mp4.parts" / "job.json", process)
    assert json.loads((tmp_path / "b.mp4.parts" / "job.json").read_text())["model"]
    done = video(source, "-o", out)
    process.kill()
    process.communicate()
    assert done.exit_code == 1
    assert "another process is making it" in done.output
