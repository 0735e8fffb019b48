"""Files appear whole, replace nothing that they may not, and are known when their writer died."""

import os
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

import imagen_fast
from imagen_fast import atomic
from imagen_fast.cli import main
from imagen_fast.tasks import generated
from imagen_fast.tasks.whole_file import check_place


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["hard links", "no hard links"])
def filesystem(request, monkeypatch):
    """One that has hard links, and one that says as FAT does that it has none."""
    if request.param == "no hard links":

        def refuse(source, target):
            raise PermissionError(1, "Operation not permitted", source, None, target)

        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("kind", ["file", "empty file", "link to nothing", "folder"])
def test_a_name_that_was_taken_meanwhile_stays_what_it_is(tmp_path, filesystem, kind):
    path = tmp_path / "a.bin"
    part = atomic.Part(path, replace=False)
    part.file.write(b"new")
    if kind == "folder":
        path.mkdir()
    elif kind == "link to nothing":
        path.symlink_to("nothing")
    else:
        path.write_bytes(b"theirs" if kind == "file" else b"")
    before = os.lstat(path)
    with pytest.raises(FileExistsError):
        part.publish()
    part.discard()
    after = os.lstat(path)
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )
    assert names(tmp_path) == ["a.bin"]


def test_a_free_name_is_taken(tmp_path, filesystem):
    (tmp_path / "link").symlink_to("a.bin")
    atomic.write(tmp_path / "link", b"new", replace=False)
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin", "link"]
    assert (tmp_path / "a.bin").stat().st_nlink == 1


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o2755])
def test_a_file_made_anew_keeps_its_mode_bits(tmp_path, mode):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    path.chmod(mode)
    part = atomic.Part(path)
    (unfinished,) = tmp_path.glob(".*.part")
    assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600  # which a private one needs
    part.file.write(b"new")
    part.publish()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_mode_of_any_other(tmp_path):
    before = os.umask(0o027)
    try:
        atomic.write(tmp_path / "a.bin", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640


KILLED = """
import os, sys
from pathlib import Path
from imagen_fast import atomic
part = atomic.Part(Path(sys.argv[1]))
part.file.write(bytes(100_000))
print("writing", flush=True)
input()
"""


def test_leftovers_are_those_whose_writer_is_dead(tmp_path):
    for name in (".imagen-fast-notes.part", "a.part", ".other.part"):
        (tmp_path / name).write_text("someone else's")
    line = [sys.executable, "-c", KILLED, str(tmp_path / "a.bin")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        (unfinished,) = set(tmp_path.glob(".imagen-fast-*.part")) - {
            tmp_path / ".imagen-fast-notes.part"
        }
        assert atomic.remove_leftovers(tmp_path) == []  # its writer lives
        process.kill()
    assert unfinished.exists()
    assert atomic.remove_leftovers(tmp_path) == [unfinished]
    assert atomic.remove_leftovers(tmp_path) == []
    assert len(names(tmp_path)) == 3
    assert atomic.remove_leftovers(tmp_path / "missing") == []


def a_picture(folder):
    Image.new("RGB", (3, 2)).save(folder / "a.png")
    imagen_fast.upscale(folder / "a.png", 2, backend="fake")


def a_page(folder):
    check_place(folder / "a.html", (".html",), overwrite=False)


def a_way(folder):
    generated.output_files(folder / "a.gif", "a", generated.Wanted(2, 0), False, False, True)


@pytest.mark.parametrize("write", [a_picture, a_page, a_way])
def test_whatever_writes_a_file_removes_leftovers_and_says_so(tmp_path, write):
    left = tmp_path / ".imagen-fast-0123456789abcdef.part"
    left.touch()
    with pytest.warns(UserWarning, match=f"removed {left}, left unfinished by a killed run"):
        write(tmp_path)
    assert not left.exists()


def test_a_process_that_ends_at_once_leaves_nothing(tmp_path):
    code = KILLED.replace("input()", "atomic.discard_all(); os._exit(3)")
    line = [sys.executable, "-c", code, str(tmp_path / "a.bin")]
    assert subprocess.run(line, stdout=subprocess.DEVNULL).returncode == 3
    assert names(tmp_path) == []


def test_what_is_no_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="a device or a pipe, not a file") as caught:
            atomic.write(tmp_path / name, b"new")
        assert caught.value.filename == str(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path) == ["link", "pipe"]


@pytest.mark.parametrize("write", [atomic.check, lambda path: atomic.write(path, b"new")])
def test_errors_name_the_file_that_was_wanted(tmp_path, write):
    with pytest.raises(FileNotFoundError) as caught:
        write(tmp_path / "no" / "a.bin")
    assert caught.value.filename == str(tmp_path / "no" / "a.bin")


def test_a_check_leaves_nothing(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    for name in ("a.bin", "b.bin"):
        atomic.check(tmp_path / name)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "command",
    [
        "features a.png -o /proc/a.npz",
        "explain a.png -o /proc/a.html",
        "export sr-x4 -o /proc/a.onnx",
        "train --from sr-x4 --pictures . -o /proc/a.safetensors",
    ],
)
def test_where_nothing_can_be_written_is_told_before_any_work(command):
    done = CliRunner().invoke(main, command.split())
    assert done.exit_code == 1
    assert done.stderr.startswith("error: /proc/a.")


def test_bytes_that_cannot_be_written_leave_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        atomic.write(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]
