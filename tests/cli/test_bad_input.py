"""Bad input: one clear line, exit code 1, no traceback, nothing left behind."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from noise import noise
from PIL import Image

from imagen_fast.bundle import load_bundle
from imagen_fast.cores import cores


def assert_one_line(result, *words):
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line, line


def assert_wrong_usage(result, *words):
    assert result.exit_code == 2
    assert result.stdout == ""
    *_, line = result.stderr.splitlines()
    assert line.startswith("Error: ")
    for word in words:
        assert word in line, line


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no such file"),
        (b"", "the file is empty"),
        (b"Just some words.\n", "it is no picture"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "damaged"),
        (b"RIFF\x04\x00\x00\x00WEBP", "damaged"),
    ],
)
def test_no_picture(upscale, files, tmp_path, content, reason):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    before = files(tmp_path)
    assert_one_line(upscale(path), str(path), reason)
    assert files(tmp_path) == before


def test_an_empty_name_is_not_the_current_folder(upscale, picture, files, monkeypatch, tmp_path):
    picture(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert_one_line(upscale(""), "the name is empty")
    assert files(tmp_path) == ["a.png"]


def test_a_picture_cut_anywhere(upscale, tmp_path):
    Image.fromarray(noise(40, 40, 3)).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    for length in range(1, len(whole) - 2, len(whole) // 12):
        (tmp_path / "cut.jpg").write_bytes(whole[:length])
        assert_one_line(upscale(tmp_path / "cut.jpg"), "cut.jpg")


def test_a_bomb_is_refused_until_the_limit_is_raised(upscale, picture, tmp_path):
    path = picture(tmp_path / "a.png")  # 8 × 6
    assert_one_line(upscale(path, "--max-pixels", 47), "8 × 6", "47", "limit")
    assert upscale(path, "--max-pixels", 48).exit_code == 0


@pytest.mark.parametrize("kind", ["folder", "device", "pipe"])
def test_what_is_no_file(upscale, tmp_path, kind):
    if kind == "folder":
        assert_one_line(upscale(tmp_path), "no picture in this folder")
    elif kind == "device":
        assert_one_line(upscale("/dev/zero"), "device")
    else:
        os.mkfifo(tmp_path / "pipe.png")
        assert_one_line(upscale(tmp_path / "pipe.png"), "pipe")


@pytest.fixture
def unprivileged(command, picture, fake_model):
    """A folder, and `imagen-fast upscale` without root's privileges."""
    folder = Path(tempfile.mkdtemp())  # all that leads to it is open, unlike tmp_path
    folder.chmod(0o755)
    model = shutil.copy(fake_model, folder)

    def run(*arguments):
        line = ("upscale", "-n", model, "--backend", "fake", *arguments)
        if os.geteuid() != 0:
            return command(*line)
        try:
            os.seteuid(65534)
        except PermissionError:
            pytest.skip("root of this container may not become anyone else")
        try:
            return command(*line)
        finally:
            os.seteuid(0)

    # What is imported late is imported now, while it may be read.
    command("upscale", "-n", model, "--backend", "fake", picture(folder / "first.png"))
    yield folder, run
    shutil.rmtree(folder)


def test_an_unreadable_file_and_folder(unprivileged, picture):
    folder, run = unprivileged
    path = picture(folder / "in/a.png")
    path.chmod(0)
    assert_one_line(run(path), "Permission denied")
    path.parent.chmod(0)
    for name in (path.parent, path, path.parent / "*.png"):
        assert_one_line(run(name), str(name))
    path.parent.chmod(0o700)


@pytest.mark.parametrize("mode", [0, 0o600, 0o300])
@pytest.mark.parametrize("way", ["folder", "**/*.png", "*/*.png", "*/y/*.png"])
def test_an_unreadable_subfolder_is_a_failure_and_does_not_stop_the_rest(
    unprivileged, picture, mode, way
):
    folder, run = unprivileged
    for name in ("in/locked/a.png", "in/locked/y/b.png", "in/open/c.png", "in/open/y/d.png"):
        picture(folder / name)
    if mode == 0o300 and way == "*/y/*.png":
        pytest.skip("leads through a folder that need not be listed")
    os.chown(folder / "in/locked", 65534, -1)
    (folder / "in/locked").chmod(mode)
    inputs = (folder / "in", "-r") if way == "folder" else (folder / "in" / way,)
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    result = run(*inputs, "-o", folder / "out")
    (folder / "in/locked").chmod(0o700)
    assert result.exit_code == 1
    assert f"error: {folder}/in/locked" in result.stderr
    assert f"failed: {folder}/in/locked" in result.stdout
    assert "Permission denied" in result.stdout
    done = {path.name for path in (folder / "out").rglob("*.png")}
    expected = {"folder": {"c", "d"}, "**/*.png": {"c", "d"}, "*/*.png": {"c"}, "*/y/*.png": {"d"}}
    assert done == {f"{name}_x2.png" for name in expected[way]}


def test_a_read_only_folder(unprivileged, picture, files):
    folder, run = unprivileged
    path = picture(folder / "in/a.png")
    path.parent.chmod(0o555)
    assert_one_line(run(path), "a_x2.png", "Permission denied")
    assert_one_line(run(path, "-o", path.parent / "new"), "Permission denied")
    assert files(path.parent) == ["a.png"]
    path.parent.chmod(0o700)


GONE = """
import os, shutil, sys
import imagen_fast
from imagen_fast.cli import main
os.makedirs("gone")
os.chdir("gone")
shutil.rmtree(os.getcwd())
for picture, output in (("a.png", None), (sys.argv[1], "b.png")):
    try:
        imagen_fast.upscale(picture, 2, output=output, backend="fake")
    except imagen_fast.ImageError as error:
        print(error)
main(["upscale", "a.png"])
"""


def test_a_current_folder_that_is_gone(picture, tmp_path):
    line = [sys.executable, "-c", GONE, picture(tmp_path / "a.png")]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert first == "a_x2.png: cannot write: No such file or directory"
    assert second == "b.png: cannot write: No such file or directory"
    assert done.stderr == "error: the current folder is not there any more: change to another one\n"
    assert done.returncode == 1


def test_an_output_folder_that_cannot_be_made(upscale, picture, tmp_path):
    path = picture(tmp_path / "a.png")
    assert_one_line(upscale(path, "-o", path / "below"), str(path / "below"), "Not a directory")


def test_a_full_disk(start, picture, files, tmp_path):
    """A limit on the size of files stands for it: the write fails in the middle just the same."""
    Image.fromarray(noise(300, 300, 3)).save(tmp_path / "large.png")
    picture(tmp_path / "small.png")
    out = tmp_path / "out"
    limit = 100_000
    process = start(
        tmp_path / "large.png",
        tmp_path / "small.png",
        "-o",
        out,
        "-t",
        64,
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 done, 0 skipped, 1 failed" in stdout
    [line] = stderr.splitlines()
    assert "large.png" in line
    assert "File too large" in line
    assert files(out) == ["small_x2.png"]


@pytest.mark.parametrize("link", ["itself", "symbolic", "hard"])
def test_the_input_is_never_the_output(upscale, picture, tmp_path, link):
    source, target = picture(tmp_path / "a.png"), tmp_path / "a_x2.png"
    if link == "symbolic":
        target.symlink_to(source)
    elif link == "hard":
        target.hardlink_to(source)
    else:
        target = source
    before = source.read_bytes()
    for options in ((), ("--overwrite",), ("--resume",)):
        assert_one_line(upscale(source, "-o", target, *options), "is its input")
    assert source.read_bytes() == before


def test_symbolic_links_are_followed(upscale, picture, tmp_path):
    picture(tmp_path / "real/a.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "b.png").symlink_to(tmp_path / "real/a.png")
    assert upscale(tmp_path / "link", tmp_path / "b.png", "-o", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/a_x2.png").exists()
    assert (tmp_path / "out/b_x2.png").exists()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert_one_line(upscale(tmp_path / "loop.png"), "loop.png")


def test_names_of_every_kind(upscale, picture, tmp_path):
    names = [
        "naïve 写真.png",
        "a\nb.png",
        "\x1b[31mred.png",
        os.fsdecode(b"\xff\xfe.png"),
        "x" * 244,
    ]
    for name in names:
        result = upscale(picture(tmp_path / name), "-o", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        assert "\x1b" not in result.stdout
    assert len(list((tmp_path / "out").iterdir())) == len(names)


def test_names_that_are_too_long(upscale, picture, files, tmp_path):
    assert_one_line(upscale(tmp_path / ("x" * 300 + ".png")), "too long")
    path = picture(tmp_path / ("x" * 251 + ".png"))  # the result's name would have 258 bytes
    assert_one_line(upscale(path, "-o", tmp_path / "out"), "too long")
    assert files(tmp_path / "out") == []


def test_unknown_model(command, picture, tmp_path):
    result = command("upscale", picture(tmp_path / "a.png"), "-n", "sr-x99")
    assert_one_line(result, "sr-x99")


def test_a_scale_that_the_model_lacks(upscale, picture, tmp_path):
    assert_wrong_usage(upscale(picture(tmp_path / "a.png"), "-s", 3), "enlarges 2 times, not 3")


def test_a_scale_without_a_model(command, picture, monkeypatch, tmp_path):
    monkeypatch.setattr("imagen_fast.catalogue.FOLDER", tmp_path)
    result = command("upscale", picture(tmp_path / "a.png"), "-s", 3)
    assert_one_line(result, "3 times")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "header", "not finite", "picture"])
def test_corrupted_weights(command, tiny_path, picture, files, tmp_path, damage):
    data = tiny_path.read_bytes()
    if damage == "not finite":
        # The last tensor's last values become NaN.
        data = data[:-4] + np.float32(np.nan).tobytes()
    content = {
        "empty": b"",
        "text": b"weights\n" * 10,
        "cut": data[: len(data) // 2],
        "header": b"\xff" * 8 + data[8:],
        "not finite": data,
        "picture": picture(tmp_path / "b.png").read_bytes(),
    }[damage]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    before = files(tmp_path)
    result = command("upscale", tmp_path / "b.png", "-n", path)
    assert_one_line(result, str(path))
    assert files(tmp_path) == before


def test_weights_of_another_network(command, tiny_path, picture, tmp_path):
    from imagen_fast.bundle import Bundle, save_bundle

    bundle = load_bundle(tiny_path)
    tensors = dict(list(bundle.tensors.items())[1:])
    save_bundle(Bundle(bundle.spec, tensors), tmp_path / "model.safetensors")
    result = command("upscale", picture(tmp_path / "a.png"), "-n", tmp_path / "model.safetensors")
    assert_one_line(result)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-t -1", "-1 is not in the range"),
        ("-t 7", "a tile of 7 pixels is too small for this model; expected at least 8"),
        ("-t 16 --tile-overlap 100", "at least 208 pixels, or an overlap of at most 4"),
        ("--tile-overlap -1", "-1 is not in the range"),
        ("--backend abacus", "'abacus' is not one of 'auto', 'native'"),
        ("--backend fake --device cuda", "runs on the cpu only, not on 'cuda'"),
        ("--backend native --precision fp16", "has no fp16; choose fp32 or bf16"),
        ("--backend tensorrt --device cpu", "runs on CUDA only, not on 'cpu'"),
        ("--backend eager --isa avx2", "'eager' has no isa to choose"),
        ("--device gpu", "device 'gpu'; expected auto, cpu, cuda or cuda:N"),
        ("--device cuda:-1", "device 'cuda:-1'; expected"),
        ("--isa neon", "'neon' is not one of 'amx', 'avx512_bf16', 'avx512', 'avx2', 'generic'"),
        ("--isa amx --precision fp32", "'amx' computes in bf16, not in fp32"),
        ("--threads 0", "0 is not in the range"),
        ("--threads 3000000000", "3000000000 is not in the range"),
        (f"--threads {10**30}", "is not in the range"),
        ("--max-pixels 0", "0 is not in the range"),
    ],
)
@pytest.mark.parametrize("done", [False, True], ids=["to do", "done before"])
def test_options_that_work_nowhere_are_wrong_usage(
    command, fake_model, picture, tmp_path, options, said, done
):
    """Even if there turns out to be nothing to do."""
    path = picture(tmp_path / "a.png")
    if done:
        picture(tmp_path / "a_x2.png")
    assert_wrong_usage(command("upscale", path, "-n", fake_model, *options.split()), said)


@pytest.mark.parametrize(
    "options", ["--device gpu", "--isa neon", "--backend native --precision fp16", "--threads -1"]
)
def test_eval_finds_wrong_options_before_it_looks_for_pictures(
    command, fake_model, tmp_path, options
):
    assert_wrong_usage(command("eval", tmp_path, "-n", fake_model, *options.split()))


def test_an_overlap_beyond_the_tiles_that_are_chosen(upscale, picture, tmp_path):
    said = "those chosen here have up to 1024; expected an overlap of at most 508, or a tile of"
    assert_wrong_usage(upscale(picture(tmp_path / "a.png"), "--tile-overlap", 600), said)


def test_a_gpu_that_is_not_here_is_no_wrong_usage(command, fake_model, picture, tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    line = ("upscale", picture(tmp_path / "a.png"), "-n", fake_model, "--backend", "eager")
    assert_one_line(command(*line, "--device", "cuda:99"), "is not here")


def test_more_threads_than_cores_are_a_warning(command, tiny_path, picture, tmp_path):
    result = command(
        *("upscale", picture(tmp_path / "a.png"), "-n", tiny_path),
        *("--backend", "native", "--threads", cores() + 1),
    )
    assert result.exit_code == 0
    assert f"{cores() + 1} threads on {cores()} core" in result.stderr
