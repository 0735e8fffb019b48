"""Standard streams that are closed, full or without a reader: the command does what it is for."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from noise import noise
from PIL import Image

from imagen_fast.cli import COMMANDS
from imagen_fast.image.read import read

LINE = [sys.executable, "-m", "imagen_fast"]
CLOSED = [
    closed for count in (1, 2, 3) for closed in itertools.combinations(("in", "out", "err"), count)
]
# What each command prints in little time.
PRINTING = [
    *([name, "--help"] for name in COMMANDS),
    *(
        ["--help"],
        ["--version"],
        ["models"],
        ["models", "--json"],
        ["config"],
        ["config", "--libs"],
    ),
]
SOME = PRINTING[-5:]


def close(streams):
    """For `preexec_fn`."""

    def run():
        for name in streams:
            os.close(("in", "out", "err").index(name))

    return run


@pytest.mark.parametrize("closed", CLOSED, ids="-".join)
def test_a_picture_is_enlarged_whatever_is_closed(start, picture, files, tmp_path, closed):
    path = picture(tmp_path / "a.png")
    process = start(path, before=close(closed))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert bool(stdout) == ("out" not in closed)
    assert stderr == ""
    assert files(tmp_path) == ["a.png", "a_x2.png"]
    assert read(tmp_path / "a_x2.png").color.shape == (12, 16, 3)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")  # noqa: PTH112
def test_no_file_of_ours_gets_the_number_of_a_closed_stream(start, tmp_path):
    """What anything in the process writes to standard error would land in the picture."""
    Image.fromarray(noise(1500, 1500, 3)).save(tmp_path / "a.png", compress_level=0)
    process = start(tmp_path / "a.png", "-t", 64, before=close(("in", "out", "err")))
    seen = set()
    while process.poll() is None:
        for number in range(3):
            try:
                seen.add(os.readlink(f"/proc/{process.pid}/fd/{number}"))  # noqa: PTH115
            except OSError:  # not begun, or ended
                continue
    assert process.returncode == 0
    assert os.devnull in seen
    assert not [name for name in seen if str(tmp_path) in name]


def test_a_failure_counts_where_nothing_can_be_said(start, tmp_path):
    process = start(tmp_path / "none.png", before=close(("out", "err")))
    process.communicate(timeout=60)
    assert process.returncode == 1


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_disk_behind_standard_output_is_an_error(arguments):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*LINE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    expected = "error: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.parametrize("arguments", SOME, ids=" ".join)
def test_a_reader_that_has_gone_ends_a_command_in_silence(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*LINE, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("arguments", SOME, ids=" ".join)
def test_a_closed_standard_output_is_as_dev_null(arguments):
    done = subprocess.run(
        [*LINE, *arguments],
        preexec_fn=close(("out",)),
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_pictures_are_written_before_the_summary_is_lost(start, picture, files, tmp_path):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png")
    with Path("/dev/full").open("w") as full:
        process = start(
            tmp_path / "in", "-o", tmp_path / "out", before=lambda: os.dup2(full.fileno(), 1)
        )
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.startswith("error: standard output cannot be written")
    assert files(tmp_path / "out") == ["a_x2.png", "b_x2.png"]


@pytest.mark.parametrize("gone", ["full", "no reader"])
def test_messages_that_nobody_takes_stop_no_picture(start, picture, files, tmp_path, gone):
    picture(tmp_path / "in/b.png")
    (tmp_path / "in/a.png").write_bytes(b"no picture")  # whose failure cannot be told
    reader, writer = os.pipe()
    os.close(reader)

    def lose():
        os.dup2(os.open("/dev/full", os.O_WRONLY) if gone == "full" else writer, 2)

    process = start(tmp_path / "in", "-o", tmp_path / "out", before=lose)
    stdout, _ = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == 1
    assert "1 done, 0 skipped, 1 failed" in stdout
    assert files(tmp_path / "out") == ["b_x2.png"]


def test_wrong_usage_is_told_where_standard_output_is_full():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*LINE, "models", "--nothing"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "No such option" in done.stderr
