"""Ctrl-C and the like: exit code 128 + signal, what was done stays, no half-written file."""

import functools
import signal
import time

import pytest
from PIL import Image

from imagen_fast.image.read import read


@pytest.mark.parametrize(
    ("number", "ext"),
    [
        (signal.SIGINT, "png"),
        (signal.SIGINT, "jpg"),
        (signal.SIGTERM, "png"),
        (signal.SIGHUP, "png"),
    ],
)
def test_interrupt_in_the_middle_of_a_picture(start, picture, noise, files, tmp_path, number, ext):
    picture(tmp_path / "in/a.png")
    Image.fromarray(noise(3000, 3000, 3)).save(tmp_path / "in/b.png", compress_level=0)
    picture(tmp_path / "in/c.png")
    out = tmp_path / "out"
    out.mkdir()
    heed = functools.partial(signal.signal, number, signal.SIG_DFL)  # the suite may run under nohup
    process = start(tmp_path / "in", "-o", out, "-t", 128, "--ext", ext, before=heed)
    deadline = time.monotonic() + 60
    # a.png is done and b.png has begun
    while not ([f"a_x2.{ext}"] != files(out) and f"a_x2.{ext}" in files(out)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, files(out)
        time.sleep(0.01)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number, (stdout, stderr)
    assert stderr == "interrupted\n"
    assert "3 pictures: 1 done, 0 skipped, 0 failed, 2 not finished" in stdout
    assert files(out) == [f"a_x2.{ext}"]
    assert read(out / f"a_x2.{ext}").color.shape == (12, 16, 3)


def test_what_nohup_ignores_stays_ignored(start, picture, noise, files, tmp_path):
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
