"""`imagen-fast export`: the file, its manifest, and nothing when it fails."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from noise import noise
from PIL import Image

import imagen_fast
from imagen_fast.bundle import save_bundle
from imagen_fast.cli.text import file_size
from imagen_fast.errors import WeightsError
from imagen_fast.spec import Level, ModelSpec

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture
def export(command, tiny_path, tmp_path, monkeypatch):
    """`imagen-fast export` of a small model, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: command("export", tiny_path, *arguments)


def test_a_file_and_its_manifest(export, tiny_path, tmp_path, files):
    result = export()
    assert result.exit_code == 0, result.stderr
    assert files(tmp_path) == ["sr-x2-test.onnx", "sr-x2-test.onnx.json"]
    content = (tmp_path / "sr-x2-test.onnx").read_bytes()
    first, second, third = result.stdout.splitlines()
    assert first == f"sr-x2-test.onnx: {file_size(len(content))}, onnx, fp32, any size"
    assert second == "sr-x2-test.onnx.json: what made it, and from what"
    assert third.startswith("verified: ")
    assert "on the photograph that comes with the package (1x96x128x3 and 2x37x53x3)" in third
    assert result.stderr == (
        "writing the graph, and checking it …\ncomparing its output with the reference's …\n"
    )
    manifest = json.loads((tmp_path / "sr-x2-test.onnx.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["bytes"] == len(content)
    assert manifest["model"]["sha256"] == hashlib.sha256(tiny_path.read_bytes()).hexdigest()
    assert manifest["options"] == {
        **{"precision": "fp32", "shape": None, "batch": None, "opset": 20, "io": "float"},
        **{"largest": None, "refit": False, "arch": [], "inputs": [], "outputs": []},
    }
    (output,) = manifest["interface"]["outputs"]
    assert output["shape"] == ["batch", 3, "2*height", "2*width"]
    assert manifest["made_by"]["onnx"] == onnx.__version__
    verification = manifest["verification"]
    assert min(verification["psnr"].values()) == verification["worst"] > 100
    assert f"{verification['worst']:.1f} dB or more to {verification['reference']}" in third
    metadata = {e.key: e.value for e in onnx.load_from_string(content).metadata_props}
    assert metadata["checksum"] == f"sha256:{manifest['model']['sha256']}"


@pytest.mark.parametrize(
    ("options", "shape", "verified"),
    [
        ("--precision fp16 --io uint8", ["batch", "height", "width", 3], "2x37x53x3"),
        ("--dynamic --batch 3 --opset 23", [3, 3, "height", "width"], "3x37x53x3"),
        ("--shape 33x40", [1, 3, 33, 40], "1x33x40x3"),
        ("--shape 33x200 --batch 2", [2, 3, 33, 200], "2x33x200x3"),
        (
            "--inputs context.0 --outputs picture,features.1",
            ["batch", 3, "height", "width"],
            "2x37x53x3",
        ),
    ],
)
def test_options(export, tmp_path, options, shape, verified):
    result = export("-o", "a.onnx", *options.split())
    assert result.exit_code == 0, result.stderr
    manifest = json.loads((tmp_path / "a.onnx.json").read_text())
    assert manifest["interface"]["inputs"][0]["shape"] == shape
    assert verified in manifest["verification"]["psnr"]
    assert manifest["verification"]["worst"] is None or manifest["verification"]["worst"] > 50


def test_on_another_photograph(export, tmp_path):
    Image.fromarray(noise(20, 31, 3)).save(tmp_path / "own.png")
    result = export("--verify-picture", "own.png", "-o", "a.onnx")
    assert "on own.png (1x20x31x3 and 2x37x53x3)" in result.stdout


def test_without_verifying(export, tmp_path):
    result = export("--no-verify", "-o", "a.onnx")
    assert "NOT verified: its output was not compared" in result.stdout
    assert json.loads((tmp_path / "a.onnx.json").read_text())["verification"] is None


def test_quiet(export):
    result = export("-q", "--no-verify")
    assert (result.exit_code, result.output) == (0, "")


def test_what_exists_is_kept_unless_told_otherwise(export, tmp_path, files):
    (tmp_path / "a.onnx").write_bytes(b"old")
    result = export("-o", "a.onnx")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: a.onnx exists; name another, or replace it")
    assert (tmp_path / "a.onnx").read_bytes() == b"old"
    assert export("-o", "a.onnx", "--overwrite", "--no-verify").exit_code == 0
    assert files(tmp_path) == ["a.onnx", "a.onnx.json"]
    (tmp_path / "a.onnx").unlink()
    assert "a.onnx.json exists" in export("-o", "a.onnx").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-o", "no/where/a.onnx"], 1, "the folder no/where does not exist; create it first"),
        (["-o", "."], 1, "it is a folder; expected the name of a file"),
        (["--shape", "33"], 2, "expected height and width, such as 256x384"),
        (["--shape", "8x8", "--dynamic"], 2, "--dynamic and --shape exclude each other"),
        (["--shape", "9000x9000"], 2, "at most 16,777,216 pixels"),
        (["--batch", "2000"], 2, "the batch is 2000; expected 1 to 1024"),
        (["--batch", str(10**30)], 2, "expected 1 to 1024"),
        (["-o", "a.tflite"], 2, "a.tflite: the format onnx is written to names that end in .onnx"),
        (["-o", "a"], 2, "expected such a name"),
        (["-o", "a.engine"], 2, "expected such a name, or --format tensorrt"),
        (["-o", "a.onnx", "--format", "bundle"], 2, "expected such a name, or --format onnx"),
        (["--verify-picture", "x.png", "--no-verify"], 2, "exclude each other"),
        (["--verify-picture", "x.png"], 1, "x.png: "),
        (["--largest", "512x512"], 2, "--largest and --refit are for --format tensorrt"),
        (["--format", "coreml"], 2, "'coreml' is not"),
    ],
)
def test_what_is_refused_leaves_nothing(export, tmp_path, files, arguments, code, said):
    result = export(*arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr
    assert files(tmp_path) == []


def test_models_that_are_none(command, tmp_path, files):
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 100)
    for name, said in (("sr-x9", "shipped: "), (tmp_path / "bad.safetensors", "damaged")):
        result = command("export", name, "-o", tmp_path / "a.onnx")
        assert (result.exit_code, said in result.stderr) == (1, True)
    assert files(tmp_path) == ["bad.safetensors"]


def test_a_wrong_export_never_appears(command, bundle_of, tmp_path, files):
    """Features beyond fp16, which no weight alone tells; an older file stays as it was."""
    bundle = bundle_of(ModelSpec(scale=2, levels=(Level(32, convs=0),)))
    bundle.tensors["encoder.stem.bias"][:] = 6e4
    bundle.tensors["encoder.stem.weight"][:] = 6e4
    save_bundle(bundle, tmp_path / "large.safetensors")
    (tmp_path / "a.onnx").write_bytes(b"old")
    arguments = ["export", tmp_path / "large.safetensors", "-o", tmp_path / "a.onnx", "--overwrite"]
    result = command(*arguments, "--precision", "fp16")
    assert result.exit_code == 1
    assert "the export is wrong: not finite to" in result.stderr
    assert "Nothing was written" in result.stderr
    assert files(tmp_path) == ["a.onnx", "large.safetensors"]
    assert (tmp_path / "a.onnx").read_bytes() == b"old"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_nothing(bundle_of, tmp_path, files, number):
    """While it compares, which takes this model a minute."""
    levels = (Level(32, depth=12, convs=1), Level(32, attention="global"))
    save_bundle(bundle_of(ModelSpec(scale=1, levels=levels)), tmp_path / "slow.safetensors")
    Image.fromarray(noise(256, 256, 3)).save(tmp_path / "large.png")
    before = files(tmp_path)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "imagen_fast", "export", "slow.safetensors"),
            *("--verify-picture", "large.png"),
        ],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    line = ""
    while not line.startswith("comparing"):
        line = process.stderr.readline()
        assert line, "it ended too early"
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    assert stderr == "interrupted: nothing was written\n"
    assert files(tmp_path) == before


def without(libraries, *arguments, cwd):
    """The command where these are not installed."""
    code = (
        f"import sys\nfor name in {libraries!r}: sys.modules[name] = None\n"
        f"from imagen_fast.cli import main\nmain({[str(a) for a in arguments]!r})"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, env=environment
    )


def test_without_torch_the_native_engine_verifies(tiny_path, tmp_path, files):
    done = without(["torch"], "export", tiny_path, "-o", "a.onnx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dB or more to the native engine (fp32)" in done.stdout
    assert files(tmp_path) == ["a.onnx", "a.onnx.json"]


def test_tensorrt_without_the_library(tiny_path, tmp_path, files):
    arguments = ["export", tiny_path, "--format", "tensorrt"]
    done = without(["tensorrt"], *arguments, cwd=tmp_path)
    assert done.returncode == 1
    said = "TensorRT is not installed; in the folder of its source: pip install '.[tensorrt]'"
    said += " (10 or 11)"
    assert done.stderr == f"error: cannot export to tensorrt: {said}\n"
    assert files(tmp_path) == []


@pytest.mark.parametrize("options", [("--arch", "sm_90"), ("--batch", 0), ("--opset", 9)])
def test_wrong_options_are_not_hidden_behind_a_file_that_exists(export, tmp_path, options):
    (tmp_path / "a.onnx").write_bytes(b"old")
    result = export("-o", "a.onnx", *options)
    assert result.exit_code == 2
    assert "exists" not in result.stderr


@pytest.mark.parametrize(
    ("library", "said"),
    [
        ("onnx", "the package onnx is not installed; in the folder of its source: pip install"),
        ("onnxruntime", "onnxruntime, which verifies, is not installed"),
    ],
)
def test_what_is_missing_is_said(tiny_path, tmp_path, files, library, said):
    done = without([library], "export", tiny_path, "-o", "a.onnx", cwd=tmp_path)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert files(tmp_path) == []


def test_a_file_is_a_model_of_the_other_commands(export, command, picture, tmp_path, files):
    assert export("-o", "a.onnx").exit_code == 0
    source = picture(tmp_path / "in.png")
    result = command("upscale", source, "-n", tmp_path / "a.onnx", "-o", tmp_path / "out.png")
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "out.png") as large:
        assert np.asarray(large).shape == (12, 16, 3)


def test_a_network_of_features_says_what_it_gives_and_what_runs_it(command, picture, tmp_path):
    pytest.importorskip("onnx")
    a, file = picture(tmp_path / "a.png"), tmp_path / "f.onnx"
    outputs = ("--outputs", "features.0,attention.0", "--no-verify", "-q")
    assert command("export", "real-x2", "-o", file, *outputs).exit_code == 0
    for line in (
        ("upscale", a, "-o", tmp_path / "b.png"),
        ("upscale", a, "-s", 2, "-o", tmp_path / "b.png"),
        ("restore", a),
        ("features", a, "-o", tmp_path / "b.npz"),
        ("explain", a, "-o", tmp_path / "b.html"),
        ("eval", tmp_path),
        ("video", a, "-o", tmp_path / "b.mp4"),
    ):
        result = command(*line, "-n", file)
        assert result.exit_code == 1, line
        assert (
            "it reads image and gives features.0, attention.0; ONNX Runtime runs it"
            in result.stderr
        )
    with pytest.raises(WeightsError, match="it makes no picture of a picture"):
        imagen_fast.load(file)
    with pytest.raises(WeightsError, match="it makes no picture of a picture"):
        imagen_fast.upscale(a, model=file)
