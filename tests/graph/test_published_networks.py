"""Networks that others published, as graphs on the native engine, beside the runtimes they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_networks
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from reference import rms

from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.metrics import luma_psnr
from imagen_fast.models.operations import run_graph

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")
pytest.importorskip("onnx", reason="the networks' weights lie in ONNX files")

PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "photographs" / "osprey.png"
SCALE = 4
NETWORKS = {"disp-x4": onnx_networks.disp, "span-c28-x4": onnx_networks.span}

Pictures = list[NDArray[Any]]


@pytest.fixture(scope="module", params=NETWORKS)
def file(request: pytest.FixtureRequest, data: Path) -> Path:
    path = data.parent / "networks" / f"{request.param}.onnx"
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


@pytest.fixture(scope="module")
def bundle(file: Path) -> Bundle:
    return NETWORKS[file.stem](file)


@pytest.fixture(scope="module")
def set5(data: Path) -> tuple[Pictures, Pictures]:
    """Pictures of Set5 that are multiples of four pixels large, and what is to be enlarged."""
    large, small = [], []
    for path in sorted((data / "test" / "set5").glob("*.png")):
        image = Image.open(path).convert("RGB")
        width, height = image.width // SCALE, image.height // SCALE
        image = image.crop((0, 0, SCALE * width, SCALE * height))
        large.append(np.asarray(image))
        small.append(np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))[None])
    return large, small


def on_pytorch(bundle: Bundle, pictures: Pictures, dtype: torch.dtype) -> Pictures:
    """(N, H, W, C) in float64, clamped; bf16 is autocast."""
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    tensors = {name: torch.from_numpy(x.copy()).to(kind) for name, x in bundle.tensors.items()}
    found = []
    for picture in pictures:
        x = torch.from_numpy(picture / 255).to(kind).permute(0, 3, 1, 2)
        lower = dtype == torch.bfloat16
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=lower):
            y = run_graph(bundle.graph, tensors, {"image": x})["picture"]
        found.append(y.double().clamp(0, 1).permute(0, 2, 3, 1).numpy())
    return found


def error_of(found: Pictures, truth: Pictures) -> float:
    return rms(np.concatenate([(a - b).ravel() for a, b in zip(found, truth, strict=True)]))


def test_fp32_is_what_onnx_runtime_gives(file: Path, bundle: Bundle) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    photograph = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))[None, 40:141, 60:177]
    tile = (photograph / 255).astype(np.float32)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (expected,) = session.run(["picture"], {"image": tile.transpose(0, 3, 1, 2)})
    expected = expected.transpose(0, 2, 3, 1).clip(0, 1)
    for isa in _native.available("fp32"):
        found = Native(bundle, precision="fp32", isa=isa).run(tile)
        assert -20 * np.log10(rms(found.astype(np.float64) - expected)) >= 80.0, isa


def test_bf16_errs_no_more_than_twice_what_pytorch_does(
    bundle: Bundle, set5: tuple[Pictures, Pictures]
) -> None:
    _, small = set5
    truth = on_pytorch(bundle, small, torch.float64)
    theirs = error_of(on_pytorch(bundle, small, torch.bfloat16), truth)
    floats = [(picture / 255).astype(np.float32) for picture in small]
    for isa in _native.available("bf16"):
        backend = Native(bundle, precision="bf16", isa=isa)
        error = error_of([backend.run(picture) for picture in floats], truth)
        assert error <= 2 * theirs, f"{isa}: {error:.2e}, PyTorch {theirs:.2e}"


def test_set5_in_bf16_is_as_in_fp32(bundle: Bundle, set5: tuple[Pictures, Pictures]) -> None:
    large, small = set5

    def mean(run: Callable[[NDArray[Any]], NDArray[Any]]) -> float:
        results = [run(picture)[0] for picture in small]
        pairs = zip(results, large, strict=True)
        return float(np.mean([luma_psnr(a, b, border=SCALE) for a, b in pairs]))

    expected = mean(Native(bundle, precision="fp32").run)
    assert expected > 25
    for isa in _native.available("bf16"):
        found = mean(Native(bundle, precision="bf16", isa=isa).run)
        assert abs(found - expected) <= 0.05, f"{isa}: {found:.3f} dB, in fp32 {expected:.3f}"
