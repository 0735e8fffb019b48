"""Pictures through pipes: - in the place of a file."""

import io
import os
import pty
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def piped(fake_model, tmp_path):
    """Run `imagen-fast upscale` with these bytes on standard input."""

    def run(*arguments, given=b"", **options):
        line = [
            sys.executable,
            "-m",
            "imagen_fast",
            "upscale",
            "-n",
            fake_model,
            "--backend",
            "fake",
        ]
        streams = {"input": given, "capture_output": True} | options
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        done = subprocess.run(
            [*line, *map(str, arguments)], env=os.environ | {"TMPDIR": str(scratch)}, **streams
        )
        assert not list(scratch.iterdir())
        return done

    return run


def test_standard_input_becomes_standard_output(piped, picture, tmp_path):
    source = picture(tmp_path / "a.png")
    done = piped("-", "-o", "-", given=source.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    found = np.asarray(Image.open(io.BytesIO(done.stdout)))
    np.testing.assert_array_equal(found, np.asarray(Image.open(source)).repeat(2, 0).repeat(2, 1))


def test_one_side_may_be_a_file(piped, picture, tmp_path):
    source, target = picture(tmp_path / "a.png"), tmp_path / "b.webp"
    assert piped("-", "-o", target, given=source.read_bytes()).returncode == 0
    assert Image.open(target).size == (16, 12)
    done = piped(source, "-o", "-", "--ext", "jpg")
    assert Image.open(io.BytesIO(done.stdout)).format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "given", "code", "says"),
    [
        (("-",), b"", 2, "give -o FILE, or -o -"),
        (("-", "b.png", "-o", "-"), b"", 2, "no others beside it"),
        (("a.png", "b.png", "-o", "-"), b"", 2, "is for one picture, not 2"),
        (("-", "-o", "-"), b"", 1, "the file is empty"),
        (("-", "-o", "-"), b"no picture", 1, "no picture that can be read"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    piped, tmp_path, arguments, given, code, says
):
    done = piped(*arguments, given=given)
    assert done.returncode == code
    assert done.stdout == b""
    assert says in done.stderr.decode()
    assert str(tmp_path) not in done.stderr.decode()


@pytest.mark.parametrize("side", ["stdin", "stdout"])
def test_a_terminal_is_no_picture(piped, picture, tmp_path, side):
    source = picture(tmp_path / "a.png")
    ours, theirs = pty.openpty()
    try:
        given = "-" if side == "stdin" else source
        streams = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        done = piped(given, "-o", "-", **streams | {side: theirs}, input=None, capture_output=False)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"is a terminal" in done.stderr


@pytest.mark.parametrize(("side", "number"), [("input", 0), ("output", 1)])
def test_a_closed_stream_is_an_error(piped, picture, tmp_path, side, number):
    given = "-" if side == "input" else picture(tmp_path / "a.png")
    output = tmp_path / "b.png" if side == "input" else "-"
    done = piped(given, "-o", output, input=None, preexec_fn=lambda: os.close(number))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: standard {side} (".encode())
    assert b"is closed; expected " in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "b.png").exists()
