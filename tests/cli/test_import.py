"""`imagen-fast import`, and other people's networks in place of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from imagen_fast.bundle import read_header
from imagen_fast.catalogue import resolve

LAYERS = """7767517
3 3
Input input 0 1 data
Convolution conv 1 1 data wide 0=12 1=3 4=1 5=1 6=324
PixelShuffle shuffle 1 1 wide out 0=2
"""


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A .param and .bin pair that enlarges twice."""
    weight = np.zeros((12, 3, 3, 3), "<f4")
    weight[:, :, 1, 1] = np.repeat(np.eye(3), 4, axis=0)
    path = tmp_path / "twice.param"
    path.write_text(LAYERS)
    path.with_suffix(".bin").write_bytes(bytes(4) + weight.tobytes() + bytes(4 * 12))
    return path


def test_a_network_becomes_a_model(command: Any, network: Path) -> None:
    done = command("import", str(network))
    model = network.with_suffix(".safetensors")
    assert done.exit_code == 0
    assert "enlarges 2 times; 1 operations, 336 parameters, of ncnn" in done.stdout
    header = read_header(model)
    assert (header.graph.scale, header.task.name) == (2, "upscale")
    assert header.exact_overlap is not None

    done = command("import", str(network))
    assert (done.exit_code, done.stderr) == (1, f"error: {model} exists; --overwrite replaces it\n")
    assert command("import", str(network), "--overwrite", "-q").stdout == ""
    assert command("import", str(network), "-o", "a.onnx").exit_code == 2


def test_a_checkpoint_is_never_its_own_model(command: Any, tmp_path: Path) -> None:
    """.safetensors becomes .safetensors, so the model has another name."""
    random = np.random.default_rng(0)
    shapes = {"body.0": (16, 3, 3, 3), "body.2": (16, 16, 3, 3), "body.4": (48, 16, 3, 3)}
    tensors = {f"{name}.weight": random.normal(0, 0.1, shape) for name, shape in shapes.items()}
    tensors |= {f"{name}.bias": np.zeros(shape[0]) for name, shape in shapes.items()}
    tensors |= {f"body.{i}.weight": np.full(16, 0.1) for i in (1, 3)}
    checkpoint = tmp_path / "compact.safetensors"
    save_file({name: x.astype(np.float32) for name, x in tensors.items()}, checkpoint)
    before = checkpoint.read_bytes()
    done = command("import", str(checkpoint))
    assert done.exit_code == 0, done.stderr
    assert read_header(tmp_path / "compact_imported.safetensors").graph.scale == 4
    done = command("import", str(checkpoint), "-o", str(checkpoint), "--overwrite")
    assert done.exit_code == 1
    assert "the output is an input; choose another name" in done.stderr
    assert checkpoint.read_bytes() == before


def test_upscale_takes_a_network_itself(command: Any, network: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    # Exact, so not in bf16, which automatic precision takes where it is fast.
    options = ("-n", str(network), "--precision", "fp32")
    done = command("upscale", str(tmp_path / "photo.png"), *options)
    assert done.exit_code == 0, done.stderr
    large = np.asarray(Image.open(tmp_path / "photo_x2.png"))
    expected = pixels.repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(large.astype(int) - expected).max() <= 1


def test_our_own_models_are_said_to_be_ours(command: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    exported = tmp_path / "a.onnx"
    assert command("export", "sr-x4", "-o", str(exported), "--no-verify").exit_code == 0
    for ours in (resolve("sr-x4"), exported):
        done = command("import", str(ours), "-o", str(tmp_path / "b.safetensors"))
        assert done.exit_code == 2
        assert "is no network of others; -n takes it as it is" in done.stderr


def test_what_cannot_be_read_is_one_line(command: Any, network: Path) -> None:
    network.write_text(LAYERS.replace("PixelShuffle shuffle", "Softmax softmax"))
    done = command("import", str(network))
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "layer 2 (Softmax, 'softmax'): the engine has no such operation" in done.stderr
    assert not network.with_suffix(".safetensors").exists()


def test_the_operations_of_a_network_are_listed(command: Any, network: Path) -> None:
    done = command("models", "--graph", str(network))
    assert done.exit_code == 0, done.stderr
    assert "→ picture        3 × image·2" in done.stdout
