"""Networks made here, through each door, on the native engine: as exact as their definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import pytest
import torch
from checkpoints import RRDB, Compact
from imagen_fast.export.onnx import export
from imagen_fast.export.options import ExportOptions
from ncnn_files import Writer
from nested import Nested
from reference import Reference, rms
from running import decibels, defined
from safetensors.torch import save_file
from torch import nn

from imagen_fast import importers
from imagen_fast.backends.native import Native

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")
pytest.importorskip("onnx", reason="some of the networks are ONNX files")


def _onnx(module: nn.Module) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        networks.export(module, folder / "a.onnx")
        return folder / "a.onnx"

    return write


def _checkpoint(module: nn.Module, lighter: float = 0.0) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        state = module.state_dict()
        last = [name for name in state if name.endswith("bias")][-1]
        save_file(state | {last: state[last] + lighter}, folder / "a.safetensors")
        return folder / "a.safetensors"

    return write


def _norms(folder: Path) -> Path:
    """ncnn: twice a depthwise convolution, a layer norm over channels and two 1×1 convolutions."""
    torch.manual_seed(0)
    w = Writer()
    w.add("Input", [], ["data"])
    w.conv(nn.Conv2d(3, 24, 3, padding=1), "data", "x0")
    for i in range(2):
        w.add("Split", [f"x{i}"], [f"a{i}", f"b{i}"])
        w.conv(nn.Conv2d(24, 24, 7, padding=3, groups=24), f"a{i}", f"d{i}")
        over_channels = ("0=3", "1=0", "-23303=1,0", "4=1", "5=1")
        w.add("Reduction", [f"d{i}"], [f"m{i}"], *over_channels)
        w.add("BinaryOp", [f"d{i}", f"m{i}"], [f"c{i}"], "0=1")
        w.add("BinaryOp", [f"c{i}", f"c{i}"], [f"s{i}"], "0=2")
        w.add("Reduction", [f"s{i}"], [f"v{i}"], *over_channels)
        w.add("BinaryOp", [f"v{i}"], [f"e{i}"], "0=0", "1=1", "2=1e-5")
        w.add("UnaryOp", [f"e{i}"], [f"r{i}"], "0=5")
        w.add("BinaryOp", [f"c{i}", f"r{i}"], [f"n{i}"], "0=3")
        w.conv(nn.Conv2d(24, 48, 1), f"n{i}", f"w{i}")
        w.add("GELU", [f"w{i}"], [f"g{i}"], "0=1")
        w.conv(nn.Conv2d(48, 24, 1), f"g{i}", f"t{i}")
        w.add("BinaryOp", [f"b{i}", f"t{i}"], [f"x{i + 1}"], "0=0")
    head = nn.Conv2d(24, 12, 3, padding=1)
    nn.init.constant_(head.bias, 0.5)
    w.conv(head, "x2", "fine")
    w.add("PixelShuffle", ["fine"], ["out"], "0=2")
    w.write(folder / "a")
    return folder / "a.param"


def _valid(folder: Path) -> Path:
    """ncnn: convolutions that read no border, PReLU, and a transposed one (waifu2x's manner)."""
    torch.manual_seed(0)
    w = Writer()
    w.add("Input", [], ["data"])
    w.conv(nn.Conv2d(3, 28, 3), "data", "a")
    w.add("PReLU", ["a"], ["b"], "0=28")
    w.plain(np.linspace(0, 0.5, 28))
    w.conv(nn.Conv2d(28, 48, 5), "b", "c", "9=2", "-23310=1,0.1")
    head = nn.ConvTranspose2d(48, 3, 4, 2, 3)
    nn.init.constant_(head.bias, 0.5)
    w.conv(head, "c", "out")
    w.write(folder / "a")
    return folder / "a.bin"


def _nested(folder: Path) -> Path:
    torch.manual_seed(0)
    Nested(24).write(folder / "a")
    return folder / "a.param"


CASES = {
    "onnx: ConvNeXt": _onnx(networks.network("ConvNeXt", "ConvNeXt", "ConvNeXt")),
    "onnx: NAFNet": _onnx(networks.network("NAFNet", "NAFNet", "strided", "NAFNet")),
    **{f"onnx: drawn {seed}": _onnx(networks.drawn(seed)) for seed in (3, 4, 5)},
    "ncnn: norms": _norms,
    "ncnn: valid": _valid,
    "ncnn: nested": _nested,
    "checkpoint: RRDB": _checkpoint(RRDB(64, 32, 2), lighter=0.5),
    "checkpoint: Compact": _checkpoint(Compact(48, 6, scale=2)),
}


@pytest.mark.parametrize("name", CASES)
def test_networks_are_as_exact_as_their_definitions(name: str, tmp_path: Path) -> None:
    bundle = importers.load(CASES[name](tmp_path))
    image = np.random.default_rng(0).random((1, 37, 45, 3), np.float32)  # odd: of no multiple
    reference = Reference(bundle.graph, bundle.tensors, {"image": image}, ["picture"], "picture")
    truth = reference.truth["picture"]
    assert truth.std() > 0.01
    assert np.mean((truth == 0) | (truth == 1)) < 0.5
    for isa in _native.available("fp32"):
        found = Native(bundle, precision="fp32", isa=isa, threads=1).run(image)
        assert -20 * np.log10(rms(found - truth)) >= 80, isa
    for isa in _native.available("bf16"):
        found = Native(bundle, precision="bf16", isa=isa, threads=1).run(image)
        assert not reference.problem({"picture": found}, "bf16"), isa


@pytest.mark.parametrize("name", CASES)
def test_they_are_exported_again(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    bundle = importers.load(CASES[name](tmp_path))
    image = torch.rand(1, 3, 21, 31, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(export(bundle, ExportOptions()))
    (found,) = session.run(None, {"image": image.numpy()})
    assert decibels(found, defined(bundle, image)) >= 100
