"""PSNR and SSIM by the protocol that papers use."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.mark.parametrize(("scale", "psnr"), [(2, 33.65), (3, 30.39), (4, 28.42)])
def test_bicubic_on_set5_is_the_published_figure(command, data, scale, psnr):
    result = command("eval", data / "test/set5", "-s", scale, "-n", "bicubic", "--json")
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["scale"] == scale
    assert len(record["pictures"]) == 5
    assert record["mean"]["bicubic"]["psnr"] == pytest.approx(psnr, abs=0.02)
    assert record["mean"]["model"] is None


def test_model_beside_bicubic(command, fake_model, noise, tmp_path):
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
    assert len(table) == 2 + 2 + 1
    assert "fake-x2" in table[0]
    name, *figures = table[3].split()
    assert name == "odd.png"
    expected = [odd["bicubic"]["psnr"], odd["bicubic"]["ssim"], odd["model"]["psnr"]]
    assert [float(figure) for figure in figures[:3]] == pytest.approx(expected, abs=0.006)


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


def test_results_of_earlier_runs_are_not_measured(command, fake_model, noise, tmp_path):
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
