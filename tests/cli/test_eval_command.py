"""PSNR and SSIM by the protocol that papers use."""

import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from noise import noise
from PIL import Image

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.spec import Level, ModelSpec
from imagen_fast.tasks.protocols import PROTOCOLS


@pytest.mark.parametrize(("scale", "psnr"), [(2, 33.65), (3, 30.39), (4, 28.42)])
def test_bicubic_on_set5_is_the_published_figure(command, data, scale, psnr):
    result = command("eval", data / "test/set5", "-s", scale, "-n", "bicubic", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["scale"] == scale
    assert len(record["pictures"]) == 5
    assert record["mean"]["bicubic"]["psnr"] == pytest.approx(psnr, abs=0.02)
    assert record["mean"]["model"] is None
    assert record["colors"] is None


def test_model_beside_bicubic(command, fake_model, tmp_path):
    """Repeated pixels are exact where every 2×2 block is of one colour, and bicubic is not."""
    blocks = noise(20, 30, 3).repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(np.pad(blocks, ((0, 1), (0, 1), (0, 0)))).save(tmp_path / "odd.png")
    Image.fromarray(noise(40, 60)).save(tmp_path / "grey.png")
    arguments = ("eval", tmp_path, "-n", fake_model, "--backend", "fake")
    record = json.loads(command(*arguments, "--json").stdout)
    grey, odd = record["pictures"]
    assert [grey["name"], odd["name"]] == ["grey.png", "odd.png"]
    assert odd["model"]["psnr"] > odd["bicubic"]["psnr"] + 3
    assert record["mean"]["model"]["psnr"] == pytest.approx(
        (grey["model"]["psnr"] + odd["model"]["psnr"]) / 2, abs=1e-3
    )

    table = command(*arguments).stdout.splitlines()
    assert len(table) == 2 + 2 + 1 + 3
    assert "fake-x2" in table[0]
    name, *figures = table[3].split()
    assert name == "odd.png"
    expected = [odd["bicubic"]["psnr"], odd["bicubic"]["ssim"], odd["model"]["psnr"]]
    assert [float(figure) for figure in figures[:3]] == pytest.approx(expected, abs=0.006)
    assert table[5].startswith("flat colours: off by up to 0 of 255 levels (#000000), 0.0 on")
    assert table[6].startswith("hatching a level off neutral: tinted by up to 0 of 255 levels")
    assert record["colors"]["flat"] == {"worst": 0, "mean": 0, "where": "#000000"}


def test_floats_that_were_clipped_are_said(command, fake_model, tmp_path):
    values = np.linspace(0, 1.004, 1600, dtype=np.float32).reshape(40, 40)
    Image.fromarray(values).save(tmp_path / "a.tif")
    result = command("eval", tmp_path, "-n", fake_model, "--backend", "fake", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["mean"]["model"]["psnr"] > 35  # and not black
    assert result.stderr.startswith(f"warning: {tmp_path}/a.tif: its floats go from 0 to 1.004")


def test_equal_pictures_are_valid_json(command, fake_model, tmp_path):
    Image.new("RGB", (40, 40), "teal").save(tmp_path / "flat.png")
    result = command("eval", tmp_path, "-n", fake_model, "--backend", "fake", "--json")
    assert json.loads(result.stdout)["mean"] == {
        "bicubic": {"psnr": None, "ssim": 1.0},
        "model": {"psnr": None, "ssim": 1.0},
    }


@pytest.mark.parametrize("kind", ["missing", "empty", "a file", "too small", "broken"])
def test_what_cannot_be_measured(command, tmp_path, kind):
    folder = tmp_path / "in"
    if kind == "a file":
        folder.write_text("x")
    elif kind != "missing":
        folder.mkdir()
    if kind == "too small":
        Image.new("RGB", (12, 40)).save(folder / "a.png")
    elif kind == "broken":
        (folder / "a.png").write_text("no picture")
    result = command("eval", folder, "-s", 2, "-n", "bicubic", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {folder}")


def test_results_of_earlier_runs_are_not_measured(command, fake_model, tmp_path):
    Image.fromarray(noise(40, 40, 3)).save(tmp_path / "a.png")
    arguments = ("eval", tmp_path, "-n", fake_model, "--backend", "fake", "--json")
    before = command(*arguments)
    Image.fromarray(noise(80, 80, 3)).save(tmp_path / "a_x2.png")
    Image.fromarray(noise(80, 80, 3)).save(tmp_path / "a_png_x4.jpg")
    (tmp_path / "b.heic").write_bytes(b"x")
    after = command(*arguments)
    assert after.stdout == before.stdout
    assert [line[:24] for line in after.stderr.splitlines()] == [
        "left out 2 earlier resul",
        "left out 1 picture of a ",
    ]


@pytest.fixture
def restoring(tmp_path):
    """Gives back what it gets, as a model that restores."""
    path = tmp_path / "fake.safetensors"
    save_bundle(Bundle(ModelSpec(scale=1, levels=(Level(32),)), {}), path)
    return path


# What the input itself must have. Noise: 20 log10(255 / σ), and the more as samples are clipped.
@pytest.mark.parametrize(
    ("protocol", "pictures", "psnr", "more"),
    [("noise-15", 68, 20 * math.log10(255 / 15), 0.3), ("jpeg-10", 29, 27.77, 0.02),
     ("jpeg-40", 29, 32.35, 0.02)],
)  # fmt: skip
def test_protocols_degrade_as_published(command, data, monkeypatch, protocol, pictures, psnr, more):
    monkeypatch.setenv("IMAGEN_FAST_DATA", str(data))
    record = json.loads(command("eval", "--protocol", protocol, "-n", "input", "--json").stdout)
    assert (len(record["pictures"]), record["scale"]) == (pictures, 1)
    assert -0.02 < record["mean"]["input"]["psnr"] - psnr < more
    assert record["mean"]["model"] is None


def test_every_protocol_measures_a_model_beside_its_baseline(
    command, restoring, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "cv2", None)  # whether it is installed or not
    (tmp_path / "in").mkdir()
    y, x = np.mgrid[:120, :160][..., None]
    picture = (128 + 60 * np.sin(y / 9 + x / 7 + np.arange(3))).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "in" / "a.png")
    for name, protocol in PROTOCOLS.items():
        if protocol.scale != 1:
            continue
        arguments = ("eval", tmp_path / "in", "-n", restoring, "--backend", "fake", "--json")
        record = json.loads(command(*arguments, "--protocol", name).stdout)
        found, given = record["mean"]["model"]["psnr"], record["mean"]["input"]["psnr"]
        assert 5 < given < 50
        assert found > given + 30 if name == "scratches" else found == given, name


def test_harmed_pictures_are_for_the_model_of_such(command, tmp_path):
    y, x = np.mgrid[:96, :96][..., None]
    picture = (128 + 60 * np.sin(y / 9 + x / 7 + np.arange(3))).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    done = command("eval", tmp_path, "--protocol", "real-x4", "--json")
    assert Path(json.loads(done.stdout)["model"]).stem == "real-x4-tiny"


def test_a_limit_of_pixels_can_be_said(command, tmp_path):
    Image.fromarray(noise(32, 40, 3)).save(tmp_path / "a.png")
    line = ("eval", tmp_path, "-n", "bicubic", "--max-pixels")
    done = command(*line, 1279)
    assert (done.exit_code, "more than the limit of 1,279" in done.stderr) == (1, True)
    assert command(*line, 1280).exit_code == 0


def test_holes_are_measured_in_themselves_and_beside_telea(monkeypatch):
    def inpaint(picture, mask, radius, kind):
        return np.where(mask[..., None], 128, picture).astype(np.uint8)

    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace(inpaint=inpaint, INPAINT_TELEA=1))
    protocol = PROTOCOLS["scratches"]
    case = protocol.case(np.full((80, 90, 3), 118, np.uint8), 0)
    assert protocol.baseline == "telea"
    assert 0.05 <= case.mask.mean() < 0.1
    assert protocol.quality(case.simple, case).psnr == pytest.approx(20 * math.log10(25.5))
    assert protocol.quality(case.truth, case).psnr == math.inf


def test_a_page_of_crops_that_cannot_be_written_is_told_before_anything_is_measured(
    command, tmp_path
):
    done = command("eval", tmp_path / "nothing", "--crops", tmp_path / "page.txt")
    assert done.exit_code == 1
    assert "page.txt: cannot write .txt" in done.stderr


def test_a_page_of_crops_has_a_row_for_each_picture(command, restoring, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(2):
        picture = np.full((200, 250, 3), 100, np.uint8)
        picture[100:140, 150:200] = noise(40, 50, 3)  # where JPEG does most harm
        Image.fromarray(picture).save(tmp_path / "in" / f"{number}.png")
    page = tmp_path / "page.png"
    command("eval", tmp_path / "in", "-n", restoring, "--backend", "fake", "--protocol", "jpeg-10",
            "--crops", page)  # fmt: skip
    with Image.open(page) as image:
        found = np.asarray(image)
    assert found.shape == (2 * 2 * (96 + 2), 2 * 3 * (96 + 2), 3)
    assert found[:192, 392:584].std() > 30  # the noise, true
    assert np.array_equal(found[:192, :192], found[:192, 196:388])  # input and model


def test_what_does_not_fit_a_protocol(command, fake_model, restoring, tmp_path, monkeypatch):
    monkeypatch.delenv("IMAGEN_FAST_DATA", raising=False)
    result = command("eval", "--protocol", "blur", "-n", "input")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "set IMAGEN_FAST_DATA to the folder that holds test/bsd100" in result.stderr
    result = command("eval", tmp_path, "--protocol", "blur", "-n", fake_model)
    assert result.exit_code == 2
    assert "enlarges 2 times: choose a --protocol for that, set5, b100" in result.stderr
    result = command("eval", tmp_path, "-n", restoring)
    assert result.exit_code == 2
    assert "restores: choose a --protocol for that, noise-15" in result.stderr
    result = command("eval", tmp_path, "--protocol", "real-x4", "-s", "2")
    assert result.exit_code == 2
    assert "the protocol real-x4 has scale 4" in result.stderr
    result = command("eval", tmp_path, "--protocol", "b100", "-n", restoring)
    assert result.exit_code == 2


def test_a_page_of_crops_replaces_nothing_unasked(command, fake_model, tmp_path):
    Image.fromarray(noise(100, 100, 3)).save(picture := tmp_path / "in.png")
    Image.fromarray(noise(9, 9, 3)).save(kept := tmp_path.parent / f"{tmp_path.name}.png")
    before = [path.read_bytes() for path in (picture, kept)]
    arguments = ("eval", tmp_path, "-n", fake_model, "--backend", "fake", "--crops")
    for page, more, said in (
        (picture, (), "in.png exists"),
        (picture, ("--overwrite",), "in.png: the output is an input"),
        (kept, (), f"{kept.name} exists"),
    ):
        result = command(*arguments, page, *more)
        assert (result.exit_code, result.stdout) == (1, "")
        assert said in result.stderr
    assert [path.read_bytes() for path in (picture, kept)] == before
    assert command(*arguments, kept, "--overwrite").exit_code == 0
    assert kept.read_bytes() != before[1]
    result = command("eval", tmp_path, "-n", "bicubic", "--crops", tmp_path / "page.png")
    assert result.exit_code == 2
    assert "--crops shows what a model makes" in result.stderr


def test_a_folder_that_is_named_is_measured_whole(command, data):
    """The protocol's own folder has a list of those that count."""
    result = command("eval", data / "test/set5", "--protocol", "noise-25", "-n", "input", "--json")
    assert len(json.loads(result.stdout)["pictures"]) == 5
