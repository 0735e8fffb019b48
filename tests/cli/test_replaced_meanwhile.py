"""A file that appears at an output's name while its picture is computed stays there."""

import stat
from pathlib import Path

import pytest

import imagen_fast
from imagen_fast.bench import record
from imagen_fast.engine import Engine
from imagen_fast.errors import ExportError, ImageError
from imagen_fast.image.read import read


@pytest.fixture
def meanwhile(monkeypatch):
    """Have `act` happen while the rows of a picture are computed."""

    def arrange(act):
        stream = Engine.stream

        def streaming(self, *arguments):
            act()
            yield from stream(self, *arguments)

        monkeypatch.setattr(Engine, "stream", streaming)

    return arrange


@pytest.mark.parametrize("ext", ["png", "jpg", "tif", "webp", "avif", "bmp"])
def test_it_is_kept_and_said(upscale, picture, files, tmp_path, meanwhile, ext):
    target = tmp_path / f"a_x2.{ext}"
    meanwhile(lambda: target.write_bytes(b"precious"))
    result = upscale(picture(tmp_path / "a.png"), "--ext", ext)
    assert result.exit_code == 1
    assert f"{target} exists: it appeared while" in result.stderr
    assert target.read_bytes() == b"precious"
    assert files(tmp_path) == ["a.png", target.name]


def test_overwrite_replaces_it(upscale, picture, tmp_path, meanwhile):
    target = tmp_path / "a_x2.png"
    meanwhile(lambda: target.write_bytes(b"old"))
    assert upscale(picture(tmp_path / "a.png"), "--overwrite").exit_code == 0
    assert read(target).color.shape == (12, 16, 3)


def test_resume_takes_it_for_the_result(upscale, picture, tmp_path, meanwhile):
    """Two runs with --resume may share the work on a folder."""
    target = tmp_path / "a_x2.png"
    meanwhile(lambda: target.write_bytes(b"from the other run"))
    result = upscale(picture(tmp_path / "a.png"), "--resume")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{target}: exists, skipped\n"
    assert target.read_bytes() == b"from the other run"


@pytest.mark.parametrize(("option", "code"), [((), 1), (("--resume",), 0)])
def test_a_later_picture_is_not_computed_for_it(
    upscale, picture, tmp_path, meanwhile, monkeypatch, option, code
):
    computed = []

    def act():
        computed.append(1)
        (tmp_path / "b_x2.png").write_bytes(b"precious")

    meanwhile(act)
    result = upscale(picture(tmp_path / "a.png"), picture(tmp_path / "b.png"), *option)
    assert result.exit_code == code
    assert len(computed) == 1
    assert (tmp_path / "b_x2.png").read_bytes() == b"precious"


def test_resume_replaces_an_empty_result(upscale, picture, tmp_path):
    target = tmp_path / "a_x2.png"
    target.touch(mode=0o600)
    assert upscale(picture(tmp_path / "a.png"), "--resume").exit_code == 0
    assert read(target).color.shape == (12, 16, 3)


@pytest.mark.parametrize("ext", ["png", "jpg"])
def test_a_result_made_anew_keeps_its_mode_bits(upscale, picture, tmp_path, ext):
    target = tmp_path / f"a_x2.{ext}"
    target.write_bytes(b"old")
    target.chmod(0o640)
    assert upscale(picture(tmp_path / "a.png"), "--overwrite", "--ext", ext).exit_code == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_python_keeps_it_too(fake_model, picture, files, tmp_path, meanwhile):
    target = tmp_path / "big.png"
    meanwhile(lambda: target.write_bytes(b"precious"))
    options = {"model": fake_model, "output": target, "backend": "fake"}
    path = picture(tmp_path / "a.png")
    with pytest.raises(ImageError, match="appeared while"):
        imagen_fast.upscale(path, 2, **options)
    assert target.read_bytes() == b"precious"
    assert files(tmp_path) == ["a.png", "big.png"]
    imagen_fast.upscale(path, 2, overwrite=True, **options)
    assert read(target).color.shape == (12, 16, 3)


def test_an_import_keeps_it_too(command, small_bundle, tmp_path, monkeypatch):
    target = tmp_path / "a.safetensors"

    def load(path):
        target.write_bytes(b"precious")
        return small_bundle

    monkeypatch.setattr("imagen_fast.importers.load", load)
    (tmp_path / "a.onnx").touch()
    result = command("import", tmp_path / "a.onnx")
    assert result.exit_code == 1
    assert f"{target} exists: it appeared while" in result.stderr
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["run.json", "page.html"])
def test_a_measurement_keeps_it_too(command, tmp_path, monkeypatch, name):
    results = Path(__file__).parents[2] / "benchmarks/results/amd-epyc-25-17-2-cores/bench.jsonl"

    def run(*arguments):
        (tmp_path / name).write_bytes(b"precious")
        return record.read(results)[-1]

    monkeypatch.setattr("imagen_fast.bench.session.run", run)
    kind = name.split(".")[1]
    result = command("bench", f"--{kind}", tmp_path / name)
    assert result.exit_code == 1
    assert f"{tmp_path / name} exists: it appeared while" in result.stderr
    assert "p50" in result.stdout
    assert (tmp_path / name).read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["a.onnx", "a.onnx.json"])
def test_an_export_keeps_it_too(small_bundle, files, tmp_path, name):
    pytest.importorskip("onnx", reason="needs onnx")
    from imagen_fast.bundle import save_bundle
    from imagen_fast.tasks.export import export

    save_bundle(small_bundle, tmp_path / "m.safetensors")
    said = []

    def say(text):
        said.append(text)
        (tmp_path / name).write_bytes(b"precious")

    with pytest.raises(ExportError, match="appeared while"):
        export(tmp_path / "m.safetensors", "onnx", tmp_path / "a.onnx", say=say)
    assert said
    assert (tmp_path / name).read_bytes() == b"precious"
    assert files(tmp_path) == [name, "m.safetensors"]
