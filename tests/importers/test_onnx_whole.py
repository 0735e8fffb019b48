"""ONNX files that no graph of ours can say: on ONNX Runtime, if it is asked for, in a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import torch
from torch import nn

import imagen_fast
from imagen_fast.backends.onnx_process import OnnxProcess
from imagen_fast.errors import BackendError, OperationError, WeightsError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


class Tokens(nn.Module):
    """Attention over the pixels of 8×8 windows, which takes sides of multiples of 8 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        nn.init.normal_(self.head.weight, std=0.01)
        self.head.bias = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        n, c, h, w = y.shape
        tokens = y.view(n, c, h // 8, 8, w // 8, 8).permute(0, 2, 4, 3, 5, 1)
        tokens = tokens.reshape(n, h // 8, w // 8, 64, c)
        tokens = torch.softmax(tokens @ tokens.transpose(-1, -2), dim=-1) @ tokens
        y = tokens.view(n, h // 8, w // 8, 8, 8, c).permute(0, 5, 1, 3, 2, 4)
        y = nn.functional.pixel_shuffle(self.head(y.reshape(n, c, h, w)), 2)
        return y + nn.functional.interpolate(x, scale_factor=2, mode="nearest")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    module, path = Tokens().eval(), tmp_path_factory.mktemp("tokens") / "tokens.onnx"
    networks.export(module, path)
    return module, path


def test_it_runs_when_it_is_asked_for(tokens: tuple[nn.Module, Path]) -> None:
    module, path = tokens
    image = np.random.default_rng(0).random((21, 30, 3), np.float32)
    with imagen_fast.load(path, backend="onnxruntime", threads=1) as engine:
        assert (engine.scale, engine.exact_overlap) == (2, None)
        found = engine(image)
    completed = np.pad(image, ((0, 3), (0, 2), (0, 0)), "edge").transpose(2, 0, 1)[None]
    with torch.no_grad():
        expected = module(torch.from_numpy(completed))[0, :, :42, :60].permute(1, 2, 0)
    assert np.abs(found - expected.clamp(0, 1).numpy()).max() < 1e-5


def test_not_asked_for_it_is_refused_with_the_remedy(tokens: tuple[nn.Module, Path]) -> None:
    with pytest.raises(OperationError, match="backend onnxruntime runs the file") as caught:
        imagen_fast.load(tokens[1])
    assert "\n" not in str(caught.value)


def test_a_file_that_takes_one_size_alone(tokens: tuple[nn.Module, Path], tmp_path: Path) -> None:
    networks.export(tokens[0], tmp_path / "fixed.onnx", size=32)
    options: Any = {"backend": "onnxruntime", "threads": 1}
    image = np.random.default_rng(0).random((40, 20, 3), np.float32)
    with imagen_fast.load(tmp_path / "fixed.onnx", **options) as engine:
        assert engine(image[:20]).shape == (40, 40, 3)
        with pytest.raises(BackendError, match="32 × 32 pixels alone; choose tile 32"):
            engine(image)
    with (
        imagen_fast.load(tmp_path / "fixed.onnx", tile=32, overlap=4, **options) as engine,
        pytest.warns(RuntimeWarning, match="whole picture"),
    ):
        assert engine(image).shape == (80, 40, 3)


def test_0_to_255(tmp_path: Path) -> None:
    class White(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 8 * torch.softmax(x, dim=2)

    networks.export(White(), tmp_path / "a.onnx")
    image = np.full((16, 16, 3), 0.5, np.float32)
    with imagen_fast.load(tmp_path / "a.onnx", backend="onnxruntime", threads=1) as engine:
        np.testing.assert_allclose(engine(image), 0.5 + 8 / 16 / 255, atol=1e-6)


def test_a_painting_from_0_to_255(tmp_path: Path) -> None:
    class Painting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 130 + 100 * torch.softmax(-x, dim=2)

    networks.export(Painting(), tmp_path / "a.onnx")
    image = np.full((16, 16, 3), 0.5, np.float32)
    with imagen_fast.load(tmp_path / "a.onnx", backend="onnxruntime", threads=1) as engine:
        np.testing.assert_allclose(engine(image), (130 + 100 / 16) / 255, atol=1e-6)


def test_weights_in_other_files_are_refused(tokens: tuple[nn.Module, Path], tmp_path: Path) -> None:
    model = onnx.load(tokens[1])
    onnx.save(
        model, tmp_path / "a.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    with pytest.raises(WeightsError, match="lies in another file"):
        imagen_fast.load(tmp_path / "a.onnx", backend="onnxruntime")


def test_a_process_that_dies_is_an_error_in_one_line(tokens: tuple[nn.Module, Path]) -> None:
    with imagen_fast.load(tokens[1], backend="onnxruntime", threads=1) as engine:
        backend: Any = engine._runner.backend
        (session,) = backend._sessions.values()
        os.kill(session._process._process.pid, signal.SIGSEGV)
        with pytest.raises(BackendError, match="process ended with code -11") as caught:
            engine(np.zeros((8, 8, 3), np.uint8))
        assert "\n" not in str(caught.value)


def test_memory_is_limited(tokens: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from imagen_fast.backends import memory

    monkeypatch.setattr(memory, "available", lambda: 256 << 20)
    process = OnnxProcess(tokens[1].read_bytes(), threads=1)
    with pytest.raises(BackendError, match=r"memory|bad_alloc"):
        process.run("image", np.zeros((1, 3, 2048, 2048), np.float32))


def test_time_is_limited(tokens: tuple[nn.Module, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    process = OnnxProcess(tokens[1].read_bytes(), threads=1)
    monkeypatch.setattr("imagen_fast.backends.onnx_process.SECONDS", 0.01)
    with pytest.raises(BackendError, match="nothing within"):
        process.run("image", np.zeros((1, 3, 512, 512), np.float32))


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose loop no run comes out of."""
    helper, numbers, truth = onnx.helper, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    real = onnx.TensorProto.FLOAT
    values = {"i": numbers, "c": truth, "x": real, "d": truth, "y": real}
    i, c, x, d, y = (
        helper.make_tensor_value_info(name, kind, None if kind == real else [])
        for name, kind in values.items()
    )
    same = [helper.make_node("Identity", [a], [b]) for a, b in (("c", "d"), ("x", "y"))]
    body = helper.make_graph(same, "body", [i, c, x], [d, y])
    loop = helper.make_node("Loop", ["often", "go", "image"], ["picture"], body=body)
    image, picture = (
        helper.make_tensor_value_info(name, real, [1, 3, None, None])
        for name in ("image", "picture")
    )
    weights = [
        helper.make_tensor("often", numbers, [], [1 << 60]),
        helper.make_tensor("go", truth, [], [True]),
    ]
    graph = helper.make_graph([loop], "endless", [image], [picture], weights)
    path = tmp_path_factory.mktemp("endless") / "endless.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_who_asks_again_is_told_why_the_process_is_no_more(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the search for the sizes does that a file takes."""
    process = OnnxProcess(endless.read_bytes(), threads=1)
    monkeypatch.setattr("imagen_fast.backends.onnx_process.SECONDS", 0.2)
    for _ in range(2):
        with pytest.raises(BackendError, match="nothing within 0 s"):
            process.run("image", np.zeros((1, 3, 8, 8), np.float32))


def test_the_process_ends_with_one_that_is_killed(endless: Path) -> None:
    code = """if True:
        import sys, threading, numpy
        from pathlib import Path
        from imagen_fast.backends.onnx_process import OnnxProcess
        process = OnnxProcess(Path(sys.argv[1]).read_bytes(), threads=1)
        print(process._process.pid, flush=True)
        process.run("image", numpy.zeros((1, 3, 8, 8), numpy.float32))
    """
    with subprocess.Popen([sys.executable, "-c", code, endless], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        time.sleep(0.5)  # the run has begun
        parent.kill()
    started, running = time.monotonic(), Path(f"/proc/{child}/exe")  # none of a zombie's
    while (still := running.exists()) and time.monotonic() < started + 20:
        time.sleep(0.05)
    if still:
        os.kill(child, signal.SIGKILL)
    assert not still
