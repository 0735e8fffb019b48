"""The backend on ONNX Runtime: its answers, its devices, what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagen_fast.export.options import ExportOptions

import imagen_fast
from imagen_fast.backends import NonFiniteError, choose
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError, WeightsError
from imagen_fast.metrics import psnr
from imagen_fast.spec import Level, ModelSpec

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from imagen_fast.export.onnx import export

from imagen_fast.backends.onnxruntime import OnnxRuntime

# To the native engine in fp32: PSNR in dB.
BARS = {"fp32": 100.0, "fp16": 50.0}


def tiles(*shape: int) -> Any:
    return np.random.default_rng(3).random((*shape, 3), dtype=np.float32)


@pytest.fixture
def file_of(tiny_bundle: Bundle, tmp_path: Path) -> Callable[..., Path]:
    """`tiny_bundle` exported with these options."""

    def make(**options: Any) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(export(tiny_bundle, ExportOptions(**options)))
        return path

    return make


@pytest.mark.parametrize("precision", BARS)
def test_one_session_serves_every_shape(precision: str, tiny_bundle: Bundle) -> None:
    backend = OnnxRuntime(tiny_bundle, device="cpu", precision=precision, threads=1)
    native = Native(tiny_bundle, precision="fp32", threads=1)
    for shape in ((1, 40, 23), (2, 9, 64), (1, 1, 1), (1, 40, 23)):
        x = tiles(*shape)
        output = backend.run(x)
        assert output.dtype == np.float32
        assert psnr(output, native.run(x)) > BARS[precision], shape
        bytes_ = (x * 255).round().astype(np.uint8)
        far = np.abs(backend.run(bytes_).astype(int) - native.run(bytes_)).max()
        assert far <= (1 if precision == "fp32" else 3)


def test_what_is_not_contiguous(tiny_bundle: Bundle) -> None:
    backend = OnnxRuntime(tiny_bundle, device="cpu")
    wide = tiles(2, 20, 30)
    part = wide[::-1, 3:17, ::2]
    np.testing.assert_array_equal(backend.run(part), backend.run(part.copy()))


def test_an_engine_on_it_and_on_a_file(file_of: Callable[..., Path], tiny_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (150, 170, 3), np.uint8)
    settings = {"tile": 96, "overlap": 16}
    with imagen_fast.load(tiny_path, backend="onnxruntime", device="cpu", **settings) as engine:
        assert (engine.info()["backend"], engine.info()["precision"]) == ("onnxruntime", "fp32")
        expected = engine(image)
    settings = {**settings, "backend": "onnxruntime"}
    with imagen_fast.load(file_of(), device="cpu", **settings) as engine:
        assert engine.info()["model"] == "model"
        np.testing.assert_array_equal(engine(image), expected)
    settings = {**settings, "backend": "native"}
    with imagen_fast.load(file_of(), precision="fp32", **settings) as engine:
        assert np.abs(engine(image).astype(int) - expected).max() <= 1


def test_auto_never_takes_it() -> None:
    assert choose("auto", "cpu")[0].name == "native"


@pytest.mark.parametrize(
    "options", [{"precision": "fp16", "shape": (32, 32)}, {"batch": 1, "opset": 23}], ids=str
)
def test_any_file_runs_on_any_backend(
    options: dict[str, Any], file_of: Callable[..., Path], tiny_bundle: Bundle
) -> None:
    path, image = file_of(**options), np.full((20, 24, 3), 99, np.uint8)
    outputs = []
    for backend in ("auto", "onnxruntime"):
        with imagen_fast.load(path, backend, "cpu", precision="fp32") as engine:
            outputs.append(engine(image).astype(int))
    assert np.abs(outputs[0] - outputs[1]).max() <= 1


def test_a_damaged_file(file_of: Callable[..., Path]) -> None:
    path = file_of()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not an ONNX file, or damaged"):
        imagen_fast.load(path)


def test_bf16(tiny_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="has no bf16; choose fp32 or fp16"):
        OnnxRuntime(tiny_bundle, precision="bf16")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1", ""])
def test_devices_that_are_none(device: str, tiny_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="expected auto, cpu, cuda or cuda:N"):
        OnnxRuntime(tiny_bundle, device=device)


def test_cuda_where_the_library_has_none(tiny_bundle: Bundle) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    assert OnnxRuntime(tiny_bundle).device == "cpu"
    with pytest.raises(BackendError, match="for cuda:1 install onnxruntime-gpu in place of"):
        OnnxRuntime(tiny_bundle, device="cuda:1")


def test_any_outputs_of_any_inputs(tiny_bundle: Bundle) -> None:
    backend, native = OnnxRuntime(tiny_bundle, device="cpu"), Native(tiny_bundle, precision="fp32")
    given = {"image": tiles(1, 9, 14)}
    context = native.run(given, ["features.0", "features.1"])
    for x in ({}, {"context.0": -context["features.0"]}):
        outputs = [each.run(given | x, ["picture.1", "picture"]) for each in (backend, native)]
        for name in ("picture.1", "picture"):
            np.testing.assert_allclose(outputs[0][name], outputs[1][name], atol=1e-5)
    with pytest.raises(BackendError, match="input 'image' is needed and was not given"):
        backend.run({"context.0": context["features.0"]}, ["picture"])


def test_what_overflows_half_is_computed_again_in_fp32(
    bundle_of: Callable[..., Bundle],
) -> None:
    """Features beyond fp16's 65504, though no weight is."""
    bundle = bundle_of(ModelSpec(scale=1, levels=(Level(32, convs=0),)))
    bundle.tensors["encoder.stem.bias"][:] = 6e4
    bundle.tensors["encoder.stem.weight"][:] = 6e4
    x = np.full((1, 8, 8, 3), 0.5, np.float32)
    half = OnnxRuntime(bundle, device="cpu", precision="fp16")
    with pytest.raises(NonFiniteError, match="not finite in fp16"):
        half.run(x)
    engine = imagen_fast.Engine(half, tile=64, overlap=8)
    with pytest.warns(RuntimeWarning, match="computed in fp32"):
        output = engine.run(x)
    assert np.isfinite(output).all()


def test_closed(tiny_bundle: Bundle) -> None:
    backend = OnnxRuntime(tiny_bundle, device="cpu")
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(tiles(1, 8, 8))
