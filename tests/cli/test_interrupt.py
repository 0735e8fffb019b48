"""Ctrl-C and the like: exit code 128 + signal, what was done stays, no half-written file."""

import functools
import os
import signal
import subprocess
import sys
import time

import pytest
from noise import noise
from PIL import Image

from imagen_fast.image.read import read

FINISHING = "interrupted: saving 1 picture that is computed; a second Ctrl-C gives up on that\n"


def test_interrupt_while_the_command_is_loaded(tmp_path):
    (tmp_path / "click.py").write_text("import time; print(flush=True); time.sleep(60)")
    process = subprocess.Popen(
        [sys.executable, "-m", "imagen_fast", "models"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("number", "ext"),
    [
        (signal.SIGINT, "png"),
        (signal.SIGINT, "jpg"),
        (signal.SIGTERM, "png"),
        (signal.SIGHUP, "png"),
    ],
)
def test_interrupt_in_the_middle_of_a_picture(start, picture, files, tmp_path, number, ext):
    picture(tmp_path / "in/a.png")
    Image.fromarray(noise(3000, 3000, 3)).save(tmp_path / "in/b.png", compress_level=0)
    picture(tmp_path / "in/c.png")
    out = tmp_path / "out"
    out.mkdir()
    heed = functools.partial(signal.signal, number, signal.SIG_DFL)  # the suite may run under nohup
    # Small tiles take seconds, which a busy machine may let pass before it looks.
    process = start(tmp_path / "in", "-o", out, "-t", 32, "--ext", ext, before=heed)
    deadline = time.monotonic() + 60
    # a.png is done and b.png has begun
    while not ([f"a_x2.{ext}"] != files(out) and f"a_x2.{ext}" in files(out)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, files(out)
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number, (stdout, stderr)
    # a.png has its name, yet its thread may still have to say so
    assert stderr in ("interrupted\n", f"{FINISHING}interrupted\n")
    assert "3 pictures: 1 done, 0 skipped, 0 failed, 2 not finished" in stdout
    assert files(out) == [f"a_x2.{ext}"]
    assert read(out / f"a_x2.{ext}").color.shape == (12, 16, 3)


def test_what_nohup_ignores_stays_ignored(start, picture, files, tmp_path):
    Image.fromarray(noise(1000, 1000, 3)).save(tmp_path / "a.png", compress_level=0)
    out = tmp_path / "out"
    out.mkdir()
    ignore = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)
    process = start(tmp_path / "a.png", "-o", out, "-t", 128, before=ignore)
    deadline = time.monotonic() + 60
    while not files(out):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    assert files(out) == ["a_x2.png"]


ANYWHERE = """
import os, signal, sys, time
from imagen_fast.cli.interrupt import Interruptible

class Fragile:
    def __del__(self):
        os.kill(os.getpid(), int(sys.argv[1]))  # Python drops what is raised here

with Interruptible(lambda: print("so far")) as ending:
    {how}
    print("lost", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "how",
    [
        "Fragile()",
        "exec('Fragile()')",  # after which Python ends a process by SIGINT, whatever it asks for
        "ending.patient = True; Fragile(); print('kept'); Fragile()",
    ],
)
def test_an_interrupt_ends_the_process_wherever_it_comes(number, how):
    def listen():
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, usual)

    line = [sys.executable, "-c", ANYWHERE.format(how=how), str(int(number))]
    done = subprocess.run(line, preexec_fn=listen, capture_output=True, text=True, timeout=50)
    assert done.returncode == 128 + number
    assert done.stdout == ("kept\n" if "kept" in how else "") + "so far\n"
    assert done.stderr == "interrupted\n"


def test_an_interrupt_while_a_foreign_network_is_read_leaves_no_folder(tmp_path):
    code = """
import os, signal
from imagen_fast import atomic
from imagen_fast.cli.interrupt import Interruptible
with Interruptible(), atomic.scratch() as folder:
    (folder / "network.onnx").touch()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
"""
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout.startswith(os.fsencode(tmp_path))
    assert not list(tmp_path.iterdir())


SLOW = """
import sys, time
from pathlib import Path
from imagen_fast.cli import main
from imagen_fast.image.pillow_write import PillowWriter

encode = PillowWriter.finish

def finish(self):
    Path(sys.argv[1]).touch()
    time.sleep(float(sys.argv[2]))  # as in a codec: no signal ends it
    encode(self)

PillowWriter.finish = finish
main(sys.argv[3:])
"""


@pytest.fixture
def encoding(fake_model, tmp_path):
    """Start `imagen-fast upscale` with an encoder of so many seconds, and wait until it works."""
    processes = []

    def run(seconds, *arguments):
        marker = tmp_path / "encoding"
        line = [sys.executable, "-c", SLOW, marker, seconds, "upscale", "-n", fake_model]
        process = subprocess.Popen(
            [*map(str, line), "--backend", "fake", *map(str, arguments)],
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        deadline = time.monotonic() + 60
        while not marker.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.2)  # until the rest waits for it
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def test_an_interrupt_says_that_it_waits_for_an_encoder(encoding, picture, files, tmp_path):
    process = encoding(2, picture(tmp_path / "a.png"), "-o", tmp_path / "out", "--ext", "webp")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == f"{FINISHING}interrupted\n"
    assert "a_x2.webp: 16 × 12" in stdout
    assert files(tmp_path / "out") == ["a_x2.webp"]


@pytest.mark.parametrize("ext", ["webp", "jpg", "avif"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_ends_at_once_and_cleans_up(
    encoding, picture, files, tmp_path, ext, number
):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png")
    process = encoding(100, tmp_path / "in", "-o", tmp_path / "out", "--ext", ext, "-j", "1:1")
    process.send_signal(number)
    assert process.stderr.readline().startswith("interrupted: saving ")
    process.send_signal(number)
    start = time.monotonic()
    stdout, stderr = process.communicate(timeout=30)
    assert time.monotonic() - start < 20
    assert process.returncode == 128 + number, stderr
    assert stderr == "interrupted\n"  # no traceback
    assert "2 pictures: 0 done, 0 skipped, 0 failed, 2 not finished" in stdout
    assert files(tmp_path / "out") == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_many_interrupts_in_a_row_end_without_a_traceback(
    encoding, picture, files, tmp_path, number
):
    """As a terminal sends them while Ctrl-C is held."""
    process = encoding(100, picture(tmp_path / "a.png"), "-o", tmp_path / "out", "--ext", "jpg")
    while process.poll() is None:
        process.send_signal(number)
        time.sleep(0.03)
    stderr = process.communicate(timeout=30)[1]
    assert "Traceback" not in stderr
    assert stderr.endswith("interrupted\n")
    assert process.returncode == 128 + number
    assert files(tmp_path / "out") == []


def test_what_a_killed_run_left_is_removed_by_the_next(encoding, upscale, picture, files, tmp_path):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    process = encoding(100, path, "-o", out, "--ext", "webp")
    (leftover,) = files(out)
    assert leftover.endswith(".part")

    other = picture(tmp_path / "b.png")
    meanwhile = upscale(other, "-o", out)  # the first run still lives: its file is left alone
    assert meanwhile.exit_code == 0
    assert meanwhile.stderr == ""
    assert files(out) == [leftover, "b_x2.png"]

    process.kill()
    process.wait()
    assert files(out) == [leftover, "b_x2.png"]
    after = upscale(other, "-o", out, "--resume")
    assert after.exit_code == 0
    assert after.stderr == f"removed {out / leftover}, left unfinished by a killed run\n"
    assert files(out) == ["b_x2.png"]
