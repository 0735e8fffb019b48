"""What is shipped, and what is installed."""

import json
import shutil
import sys
from importlib.util import find_spec

import pytest
from PIL import Image

from imagen_fast import catalogue
from imagen_fast._version import __version__
from imagen_fast.backends import BACKENDS
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.errors import WeightsError
from imagen_fast.loading import load
from imagen_fast.task import TASKS, UPSCALE


@pytest.fixture
def shelf(tmp_path, monkeypatch, small_bundle):
    """A folder of shipped models with two in it."""
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    training = json.dumps({"psnr": 36.987, "validation": "set5"})
    facts = {"task": "upscale", "license": "Apache-2.0", "training": training}
    bundle = Bundle(small_bundle.spec, small_bundle.tensors, facts)
    for size in ("small", "tiny"):
        save_bundle(bundle, tmp_path / f"sr-x2-{size}.safetensors")
    return tmp_path


def test_models_are_listed_with_their_facts(command, shelf, small_bundle):
    head, tiny, small = command("models").stdout.splitlines()
    assert head.split()[:2] == ["NAME", "SIZE"]
    parameters = sum(tensor.size for tensor in small_bundle.tensors.values())
    for word in (
        "sr-x2",
        "tiny",
        "upscale",
        f"{parameters:,}",
        "36.99 dB (set5)",
        "Apache-2.0",
    ):
        assert word in tiny
    assert "small" in small
    first = json.loads(command("models", "--json").stdout)[0]
    assert first["parameters"] == parameters
    assert first["psnr"] == 36.987
    assert first["bytes"] == (shelf / "sr-x2-tiny.safetensors").stat().st_size


def test_what_is_shipped_states_its_facts(command):
    """Whatever is shipped must say what it is and, once trained to its end, how good."""
    for model in json.loads(command("models", "--json").stdout):
        assert model["task"] in TASKS
        assert model["license"] == "Apache-2.0"
        least = 26 if model["name"].startswith("real-") else 30  # of what was ruined before
        least -= 2 * model["name"].endswith("-gan")  # and what is invented is not there
        assert model["task"] in ("stylize", "generate") or model["psnr"] > least


def test_no_models(command, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    assert "no models are shipped" in command("models").stdout
    assert command("doctor").exit_code == 0


def test_doctor_says_what_works(command, shelf):
    result = command("doctor", "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert facts["imagen-fast"] == __version__
    assert facts["backends"].keys() == BACKENDS.keys()
    native, torch = find_spec("imagen_fast._native"), find_spec("torch")
    assert facts["backends"]["native"].startswith("works: " if native else "the native engine")
    assert facts["backends"]["eager"] == "works" or not torch
    assert facts["backends"]["triton"].startswith("works: ") or not find_spec("triton")
    assert facts["backends"]["fake"] == "for tests: repeats pixels"
    assert facts["cpu"]["cores"] >= 1
    assert facts["models"] == {"sr-x2-tiny": "works", "sr-x2-small": "works"}
    text = command("doctor").stdout
    for name in (*BACKENDS, "auto", "sr-x2-tiny", "PyTorch"):
        assert name in text


@pytest.mark.parametrize("kept", [100, -100], ids=["header cut", "tensors cut"])
def test_a_damaged_model_leaves_the_others(command, shelf, kept):
    path = shelf / "sr-x2-tiny.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    for name in ("models", "doctor"):
        result = command(name)
        assert result.exit_code == 0
        assert str(path) in result.stdout
        assert "damaged" in result.stdout
        assert "small" in result.stdout
    damaged, whole = json.loads(command("models", "--json").stdout)
    assert str(path) in damaged["damaged"]
    assert whole["size"] == "small"
    with load("sr-x2-small", backend="fake") as engine:
        assert engine.scale == 2
    assert catalogue.for_task(UPSCALE, 2).stem == "sr-x2-small"  # the next size
    with pytest.raises(WeightsError, match=str(path)):
        load("sr-x2", backend="fake")


def test_doctor_without_torch_says_how_to_get_it(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # what an import of it then raises is real
    result = command("doctor")
    assert result.exit_code == 0
    assert "pip install '.[torch]'" in result.stdout


TRAINING = """
[model]
name = "m"
size = "t"
scale = 2
[data]
train = "."
[run]
output = "run"
steps = 1
"""


def test_training_without_torch_says_how_to_get_it(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "run.toml").write_text(TRAINING)
    result = command("train", tmp_path / "run.toml")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: PyTorch is not installed; ")
    assert result.stderr.endswith("pip install '.[train]'\n")


def without_the_engine(monkeypatch):
    """As an install that was asked to go without it."""
    monkeypatch.setattr(
        "imagen_fast.backends.native.find_spec",
        lambda name: None if name == "imagen_fast._native" else find_spec(name),
    )


def test_without_the_native_engine_doctor_begins_with_that(command, monkeypatch):
    pytest.importorskip("torch", reason="needs PyTorch")
    without_the_engine(monkeypatch)
    result = command("doctor")
    assert result.exit_code == 0
    first = result.stdout.splitlines()[0]
    assert first.startswith("PROBLEM: the native engine was not built when imagen-fast was")
    assert "install a C++17 compiler" in first
    assert json.loads(command("doctor", "--json").stdout)["works"] is True


def test_without_the_native_engine_every_use_says_so(command, monkeypatch, tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch")
    without_the_engine(monkeypatch)
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    result = command("upscale", tmp_path / "a.png", "--device", "cpu")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: the native engine was not built")
    assert "PyTorch computes, several times slower" in result.stderr
    with pytest.warns(RuntimeWarning, match="install a C.*17 compiler"):
        load("sr-x2", device="cpu").close()


def test_nothing_that_works_is_a_failure_of_doctor(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    without_the_engine(monkeypatch)
    result = command("doctor")
    assert result.exit_code == 1
    assert result.stdout.startswith("PROBLEM: nothing works here: no backend can run here (native:")


def test_doctor_without_a_compiler(command, monkeypatch):
    pytest.importorskip("torch", reason="needs PyTorch")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "C++ compiler" in command("doctor").stdout


def test_doctor_says_what_training_lacks(command, monkeypatch):
    pytest.importorskip("torch", reason="needs PyTorch")
    monkeypatch.setattr(
        "imagen_fast.cli.doctor.find_spec", lambda name: None if name == "lightning_fabric" else 1
    )
    facts = json.loads(command("doctor", "--json").stdout)
    assert "lightning-fabric" in facts["training"]
    assert "pip install '.[train]'" in facts["training"]


def test_doctor_says_what_videos_need(command, monkeypatch):
    monkeypatch.setattr(
        "imagen_fast.cli.doctor.find_spec", lambda name: None if name == "av" else 1
    )
    assert "pip install '.[video]'" in command("doctor").stdout


def test_doctor_says_what_it_expects_of_a_file(command, tmp_path):
    result = command("doctor", tmp_path / "sr-x4.onnx")
    assert result.exit_code == 1
    assert "expected a bundle with GPU kernels" in result.stderr
    assert "an ONNX file runs on any backend" in result.stderr
