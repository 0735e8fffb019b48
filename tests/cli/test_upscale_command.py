"""Where results go, what options mean, and what is printed."""

import os
import re
import sys

import numpy as np
import pytest
from noise import noise
from PIL import Image

from imagen_fast import catalogue
from imagen_fast.backends import NonFiniteError
from imagen_fast.backends.fake import Fake
from imagen_fast.bundle import read_header
from imagen_fast.image.read import read
from imagen_fast.task import UPSCALE


def test_one_file_lies_beside_its_picture(upscale, picture, files, tmp_path):
    picture(tmp_path / "a.jpg")
    result = upscale(tmp_path / "a.jpg")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert re.fullmatch(rf"{tmp_path}/a_x2\.png: 16 × 12 in [\d.]+ s\n", result.stdout)
    assert files(tmp_path) == ["a.jpg", "a_x2.png"]


def test_output_file_chooses_the_format(upscale, picture, tmp_path):
    result = upscale(picture(tmp_path / "a.png"), "-o", tmp_path / "b.webp")
    assert result.exit_code == 0
    with Image.open(tmp_path / "b.webp") as image:
        assert (image.format, image.size) == ("WEBP", (16, 12))


@pytest.mark.parametrize(
    ("ext", "format"),
    [("jpg", "JPEG"), (".JPG", "JPEG"), ("tiff", "TIFF"), ("bmp", "BMP"), ("webp", "WEBP")],
)
def test_ext_and_suffix(upscale, picture, tmp_path, ext, format):
    out = tmp_path / "made/for/it"
    result = upscale(
        picture(tmp_path / "a.png"), "-o", out, "--ext", ext, "--suffix", "-big", "--quality", 50
    )
    assert result.exit_code == 0, result.stderr
    with Image.open(out / f"a-big.{ext.lower().removeprefix('.')}") as image:
        assert image.format == format


def test_an_output_with_dots_is_a_folder(upscale, picture, files, tmp_path):
    assert upscale(picture(tmp_path / "a.png"), "-o", tmp_path / "v1.2").exit_code == 0
    assert files(tmp_path / "v1.2") == ["a_x2.png"]


def test_a_folder_named_like_a_file_is_a_folder(upscale, picture, files, tmp_path):
    (tmp_path / "out.png").mkdir()
    assert upscale(picture(tmp_path / "a.png"), "-o", tmp_path / "out.png").exit_code == 0
    assert files(tmp_path / "out.png") == ["a_x2.png"]


def test_a_folder_twice_does_not_enlarge_its_results(upscale, picture, files, tmp_path):
    picture(tmp_path / "a.png")
    assert upscale(tmp_path).exit_code == 0
    again = upscale(tmp_path, "--overwrite")
    assert again.exit_code == 0
    assert "left out 1 earlier result" in again.stderr
    assert files(tmp_path) == ["a.png", "a_x2.png"]
    assert upscale(tmp_path / "a_x2.png").exit_code == 0  # named itself, it is wanted
    assert "a_x2_x2.png" in files(tmp_path)


def test_existing_output_fails_is_skipped_or_overwritten(upscale, picture, tmp_path):
    source, target = picture(tmp_path / "a.png"), tmp_path / "a_x2.png"
    target.write_bytes(b"precious")
    refused = upscale(source)
    assert refused.exit_code == 1
    assert "use --overwrite or --resume" in refused.stderr
    skipped = upscale(source, "--resume")
    assert skipped.exit_code == 0
    assert skipped.stdout == f"{target}: exists, skipped\n"
    assert target.read_bytes() == b"precious"
    assert upscale(source, "--overwrite").exit_code == 0
    assert read(target).color.shape == (12, 16, 3)


def test_dry_run_writes_nothing_and_foretells_the_exit_code(upscale, picture, files, tmp_path):
    picture(tmp_path / "in/a.png")
    out = tmp_path / "out"
    good = upscale(tmp_path / "in", "-o", out, "--dry-run")
    assert good.exit_code == 0
    assert good.stdout == f"{tmp_path}/in/a.png  →  {out}/a_x2.png\n"
    bad = upscale(tmp_path / "in", tmp_path / "gone.png", "-o", out, "--dry-run")
    assert bad.exit_code == 1
    assert "no such file" in bad.stdout
    assert files(tmp_path) == ["in/a.png"]


def test_quiet_prints_errors_alone(upscale, picture, tmp_path):
    result = upscale(picture(tmp_path / "a.png"), tmp_path / "gone.png", "-q")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"error: {tmp_path}/gone.png: there is no such file\n"


def test_metadata_and_sixteen_bits_arrive(upscale, tmp_path):
    deep = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1365
    Image.fromarray(deep).save(tmp_path / "a.png", dpi=(300, 300))
    assert upscale(tmp_path / "a.png", "--ext", "tif").exit_code == 0
    result = read(tmp_path / "a_x2.tif")
    assert result.color.dtype == np.uint16
    assert result.metadata.dpi == pytest.approx((300, 300), abs=0.1)
    np.testing.assert_array_equal(result.color[::2, ::2, 0], deep)


def test_tiles_are_stitched(upscale, tmp_path):
    source = noise(150, 230, 3)
    Image.fromarray(source).save(tmp_path / "a.png")
    result = upscale(tmp_path / "a.png", "-t", 48, "--tile-overlap", 4)
    assert result.exit_code == 0, result.stderr
    expected = source.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(read(tmp_path / "a_x2.png").color, expected)


def test_the_real_network_enlarges(command, tiny_path, picture, tmp_path):
    arguments = ("upscale", "-n", tiny_path, "-s", 2, "--threads", 1)
    result = command(*arguments, picture(tmp_path / "a.png"))
    assert result.exit_code == 0, result.stderr
    assert read(tmp_path / "a_x2.png").color.shape == (12, 16, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("a.png", "-s", "5"),
        ("a.png", "--overwrite", "--resume"),
        ("a.png", "b.png", "-o", "one.png"),
        ("a.png", "-o", "b.png", "--ext", "jpg"),
        ("a.png", "--ext", "gif"),
        ("a.png", "--suffix", "x/y"),
        ("a.png", "--quality", "0"),
        ("a.png", "--background", "blanc"),
        ("a.png", "--threads", "0"),
        ("a.png", "--max-pixels", "0"),
        ("a.png", "-j", "0"),
        ("a.png", "-j", "1:2:3"),
        ("a.png", "--precision", "int4"),
        ("a.png", "--unknown"),
    ],
)
def test_wrong_usage(upscale, picture, files, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    result = upscale(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
    assert files(tmp_path) == ["a.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_sees_a_table(start, picture, tmp_path):
    import pty

    for index in range(3):
        picture(tmp_path / f"in/{index}.png")
    (tmp_path / "in/[red].png").write_text("no picture")
    master, slave = pty.openpty()
    process = start(tmp_path / "in", "-o", tmp_path / "out", stdin=slave, terminal=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 4096)
        except OSError:  # the other end is closed
            break
    os.close(master)
    assert process.wait(60) == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    table = re.search(r"done +3 .*\n *skipped +0.*\n *failed +1 +(.+)\n", text.replace("\r", ""))
    assert table, text
    assert "[red].png" in text


def test_each_picture_that_took_another_precision_is_named(upscale, picture, monkeypatch, tmp_path):
    compute = Fake.repeated

    def overflowing(self, tiles):
        if self.precision != "fp32":
            raise NonFiniteError("the output is not finite in bf16")
        return compute(self, tiles)

    monkeypatch.setattr(Fake, "repeated", overflowing)
    paths = [picture(tmp_path / name) for name in ("a.png", "b.png")]
    result = upscale(*paths, "--precision", "bf16")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    for path, line in zip(paths, lines, strict=True):
        assert line == f"warning: {path}: 1 part not finite, so computed again in fp32"


def test_the_summary_repeats_the_failures(upscale, picture, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    result = upscale(tmp_path, "-o", tmp_path / "out")
    summary, failure = result.stdout.splitlines()
    assert "1 done, 0 skipped, 1 failed" in summary
    assert failure.startswith(f"failed: {tmp_path / 'b.png'}: it is no picture")


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("big.heic", ".heic cannot be written; expected one of .png"),
        ("big.JXL", ".jxl cannot be written"),
        ("plain", "is no folder, and no picture by its name"),
        ("plain.txt", "is no folder, and no picture by its name"),
        ("/dev/null", "is no folder, and no picture by its name"),
    ],
)
def test_an_output_that_is_neither_picture_nor_folder(
    upscale, picture, files, tmp_path, output, words
):
    path = picture(tmp_path / "a.png")
    if output.startswith("plain"):
        (tmp_path / output).write_text("mine")
    before = files(tmp_path)
    result = upscale(path, "-o", tmp_path / output)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert files(tmp_path) == before
    assert not (tmp_path / output).is_dir()


def test_two_names_of_a_format_do_not_contradict(upscale, picture, tmp_path):
    path = picture(tmp_path / "a.png")
    for name, ext in (("a.jpg", "jpeg"), ("b.jpeg", "JPG"), ("c.tif", ".tiff")):
        assert upscale(path, "-o", tmp_path / name, "--ext", ext).exit_code == 0
        assert (tmp_path / name).exists()


def test_a_quality_that_changes_nothing_is_said(upscale, picture, tmp_path):
    path = picture(tmp_path / "a.png")
    said = "--quality is of JPEG, WebP and AVIF, and changes nothing in"
    assert f"{said} PNG" in upscale(path, "--quality", 80).stderr
    assert f"{said} TIFF" in upscale(path, "--quality", 80, "-o", tmp_path / "a.tif").stderr
    assert said not in upscale(path, "--quality", 80, "-o", tmp_path / "a.jpg").stderr


def test_folders_may_have_dots_in_their_names(upscale, picture, files, tmp_path):
    picture(tmp_path / "in/a.png")
    assert upscale(tmp_path / "in", "-o", tmp_path / "results.v2").exit_code == 0
    (tmp_path / "more.v2").mkdir()
    assert upscale(tmp_path / "in/a.png", "-o", tmp_path / "more.v2").exit_code == 0
    assert files(tmp_path) == ["in/a.png", "more.v2/a_x2.png", "results.v2/a_x2.png"]


@pytest.mark.parametrize("name", ["upscale", "eval"])
def test_help_says_what_auto_means(command, name):
    text = " ".join(command(name, "--help").stdout.split())
    assert "auto: bf16 where that is much faster" in text
    assert "2, 3 or 4" not in command("--help").stdout


@pytest.mark.parametrize("name", ["upscale", "video", "eval"])
def test_help_offers_the_scales_of_shipped_models(command, name):
    headers = map(read_header, catalogue.files())
    scales = sorted({x.graph.scale for x in headers if x.task is UPSCALE})
    assert f"--scale [{'|'.join(map(str, scales))}] " in command(name, "--help").stdout


def test_what_is_left_out_is_in_the_summary(upscale, picture, files, tmp_path):
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.avif")
    (tmp_path / "in/c.heic").write_bytes(b"x")
    arguments = (tmp_path / "in", "-o", tmp_path / "in/out", "-r")
    result = upscale(*arguments)
    line = f"left out 1 picture of a kind that cannot be read ({tmp_path}/in/c.heic): convert"
    assert result.exit_code == 0
    assert result.stderr.startswith(line)
    assert result.stdout.splitlines()[-1].startswith(line)
    assert upscale(*arguments, "-q", "--overwrite").stderr == ""
    assert files(tmp_path / "in/out") == ["a_x2.png", "b_x2.png"]


@pytest.mark.parametrize("way", ["folder", "**/*.png", "*.heic"])
def test_a_folder_of_nothing_that_can_be_read_is_an_error(upscale, tmp_path, way):
    (tmp_path / "c.heic").write_bytes(b"x")
    result = upscale(tmp_path if way == "folder" else tmp_path / way)
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert ("c.heic" in result.stderr) == (way != "**/*.png")


def test_a_pattern_twice_does_not_enlarge_its_results(upscale, picture, files, tmp_path):
    picture(tmp_path / "g/a.png")
    arguments = (tmp_path / "g/**/*.png", "-o", tmp_path / "g/out", "--overwrite")
    for _ in range(2):
        assert upscale(*arguments).exit_code == 0
    assert files(tmp_path / "g") == ["a.png", "out/a_x2.png"]


def test_floats_a_little_beyond_white_stay_bright_and_are_said(upscale, tmp_path):
    values = np.linspace(0, 1, 60, dtype=np.float32).reshape(6, 10)
    values[3, 4] = 1.0003
    Image.fromarray(values).save(tmp_path / "a.tif")
    result = upscale(tmp_path / "a.tif")
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {tmp_path}/a.tif: its floats go from 0 to 1.0003")
    large = read(tmp_path / "a_x2.png").color[..., 0]
    assert np.abs(large[::2, ::2] / 65535 - values.clip(0, 1)).max() < 1e-4


def test_floats_of_another_scale_are_refused(upscale, files, tmp_path):
    Image.fromarray(np.float32([[0, 128, 255]])).save(tmp_path / "a.tif")
    result = upscale(tmp_path / "a.tif")
    assert result.exit_code == 1
    assert "divide them by the value that is white" in result.stderr
    assert files(tmp_path) == ["a.tif"]


def test_transparency_goes_to_a_format_without_it_if_it_hides_nothing_or_has_a_background(
    upscale, files, tmp_path
):
    rgba = noise(6, 8, 4)
    Image.fromarray(rgba).save(tmp_path / "seen.png")
    rgba[..., 3] = 255
    Image.fromarray(rgba).save(tmp_path / "opaque.png")
    both = (tmp_path / "opaque.png", tmp_path / "seen.png", "-o", tmp_path / "out", "--ext", "bmp")
    result = upscale(*both)
    assert result.exit_code == 1
    assert "1 done, 0 skipped, 1 failed" in result.stdout
    assert "seen.png: " in result.stderr
    assert "--background" in result.stderr
    np.testing.assert_array_equal(
        read(tmp_path / "out/opaque_x2.bmp").color[::2, ::2], rgba[..., :3]
    )
    assert upscale(*both, "--resume", "--background", "white").exit_code == 0
    assert files(tmp_path / "out") == ["opaque_x2.bmp", "seen_x2.bmp"]
