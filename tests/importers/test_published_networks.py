"""Networks that others published, imported, on the native engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from reference import FLOORS, rms

import imagen_fast
from imagen_fast import importers
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.graph.reach import averages
from imagen_fast.metrics import luma_psnr
from imagen_fast.models.operations import run_graph

_native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")
pytest.importorskip("onnx", reason="some of the networks are ONNX files")

SCALE = 4
ONNX = ("disp-x4.onnx", "span-c28-x4.onnx", "imdn-x4.onnx")
NCNN = (
    *("realesr-animevideov3-x2", "realesr-animevideov3-x4"),
    *("waifu2x-photo-noise1_scale2.0x_model", "waifu2x-photo-scale2.0x_model"),
)

Pictures = list[NDArray[Any]]


@pytest.fixture(scope="module", params=[*ONNX, *(f"ncnn/{name}.param" for name in NCNN)])
def bundle(request: pytest.FixtureRequest, published: Path) -> Bundle:
    return importers.load(published / request.param)


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


@pytest.mark.parametrize("size", [(37, 41), (64, 48), (6, 5)])
def test_fp32_is_what_the_definitions_say(bundle: Bundle, size: tuple[int, int]) -> None:
    tile = np.random.default_rng(0).random((1, *size, 3), np.float32)
    (truth,) = on_pytorch(bundle, [255 * tile], torch.float64)
    for isa in _native.available("fp32"):
        found = Native(bundle, precision="fp32", isa=isa).run(tile)
        assert -20 * np.log10(rms(found - truth)) >= 80.0, isa


def test_bf16_errs_no_more_than_twice_what_pytorch_does(
    bundle: Bundle, set5: tuple[Pictures, Pictures]
) -> None:
    for small in set5[1][:3]:  # the third, full of edges, is where it errs most
        truth = on_pytorch(bundle, [small], torch.float64)
        theirs = error_of(on_pytorch(bundle, [small], torch.bfloat16), truth)
        floor = FLOORS["picture"]["bf16"] * rms(truth[0])
        for isa in _native.available("bf16"):
            found = Native(bundle, precision="bf16", isa=isa).run((small / 255).astype(np.float32))
            error = error_of([found], truth)
            assert error <= 2 * theirs + floor, f"{isa}: {error:.2e}, PyTorch {theirs:.2e}"


def test_set5_in_bf16_is_as_in_fp32(bundle: Bundle, set5: tuple[Pictures, Pictures]) -> None:
    large, small = set5
    if bundle.graph.scale != SCALE:
        large = [np.asarray(Image.fromarray(x).reduce(SCALE // bundle.graph.scale)) for x in large]

    def mean(run: Callable[[NDArray[Any]], NDArray[Any]]) -> float:
        results = [run(picture)[0] for picture in small]
        pairs = zip(results, large, strict=True)
        return float(np.mean([luma_psnr(a, b, border=bundle.graph.scale) for a, b in pairs]))

    expected = mean(Native(bundle, precision="fp32").run)
    assert expected > 25
    for isa in _native.available("bf16"):
        found = mean(Native(bundle, precision="bf16", isa=isa).run)
        assert abs(found - expected) <= 0.05, f"{isa}: {found:.3f} dB, in fp32 {expected:.3f}"


def test_tiles_equal_the_whole(bundle: Bundle, tmp_path: Path) -> None:
    save_bundle(bundle, tmp_path / "a.safetensors")
    picture = np.random.default_rng(0).random((141, 97, 3), np.float32)

    def run(**how: int) -> NDArray[Any]:
        model = str(tmp_path / "a.safetensors")
        with imagen_fast.load(model, backend="native", precision="fp32", **how) as engine:
            return engine(picture)

    whole = run()
    if averages(bundle.graph):
        with pytest.warns(RuntimeWarning, match="means over the whole picture"):
            assert np.abs(run(tile=72) - whole).max() > 0.01
        return
    (truth,) = on_pytorch(bundle, [255 * picture[None]], torch.float64)
    rounding = np.abs(whole - truth[0]).max()
    assert np.abs(run(tile=72) - whole).max() <= 2 * rounding + 1e-6
