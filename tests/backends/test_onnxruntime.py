"""The backend on ONNX Runtime: its answers, its devices, what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagen_fast.export.options import Options

import imagen_fast
from imagen_fast.backends import NonFiniteError, choose
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.errors import BackendError, WeightsError
from imagen_fast.spec import Level, ModelSpec

pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from imagen_fast.export.onnx import export
from imagen_fast.export.onnx_file import read
from imagen_fast.export.onnx_session import resolve_device

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
        path.write_bytes(export(tiny_bundle, Options(**options)))
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
        psnr = -10 * np.log10(np.mean((output.astype(np.float64) - native.run(x)) ** 2))
        assert psnr > BARS[precision], shape
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
    with imagen_fast.load(file_of(), device="cpu", **settings) as engine:
        assert engine.info()["why"] == "auto: what runs ONNX files"
        assert engine.info()["model"] == "model"
        np.testing.assert_array_equal(engine(image), expected)
    with imagen_fast.load(tiny_path, backend="native", precision="fp32", **settings) as engine:
        assert np.abs(engine(image).astype(int) - expected).max() <= 1


def test_auto_never_takes_it() -> None:
    assert choose("auto", "cpu")[0].name == "native"


def test_a_file_says_its_precision(file_of: Callable[..., Path]) -> None:
    path = file_of(precision="fp16", opset=23)
    with imagen_fast.load(path, backend="onnxruntime", device="cpu", precision="fp16") as engine:
        assert engine.info()["precision"] == "fp16"
    with pytest.raises(BackendError, match="computes in fp16, not in fp32; choose precision auto"):
        imagen_fast.load(path, precision="fp32")


@pytest.mark.parametrize(
    "options", [{"shape": (32, 32)}, {"batch": 1}, {"io": "uint8"}], ids=lambda value: str(value)
)
def test_files_that_cannot_serve_tiles(
    options: dict[str, Any], file_of: Callable[..., Path]
) -> None:
    with pytest.raises(BackendError, match="export it with --dynamic and --io float"):
        imagen_fast.load(file_of(**options))


@pytest.mark.parametrize("backend", ["native", "fake"])
def test_other_backends_refuse_files(backend: str, file_of: Callable[..., Path]) -> None:
    with pytest.raises(BackendError, match="not exported ONNX files; choose backend onnxruntime"):
        imagen_fast.load(file_of(), backend=backend)


def test_a_damaged_file(file_of: Callable[..., Path]) -> None:
    path = file_of()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not an ONNX file, or damaged"):
        imagen_fast.load(path)


def test_bf16(tiny_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="has no bf16; choose fp32 or fp16"):
        OnnxRuntime(tiny_bundle, precision="bf16")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1", ""])
def test_devices_that_are_none(device: str) -> None:
    with pytest.raises(BackendError, match="expected auto, cpu, cuda or cuda:N"):
        resolve_device(device)


def test_cuda_where_the_library_has_none(tiny_bundle: Bundle) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    assert resolve_device("auto") == "cpu"
    with pytest.raises(BackendError, match="for cuda:1 install onnxruntime-gpu in place of"):
        OnnxRuntime(tiny_bundle, device="cuda:1")


def test_levels_are_refused(tiny_bundle: Bundle) -> None:
    backend = OnnxRuntime(tiny_bundle, device="cpu")
    for output in ("features.0", "picture.1"):
        with pytest.raises(BackendError, match="the finest picture only; choose backend native"):
            backend.run({"image": tiles(1, 8, 8)}, [output])


def test_what_overflows_half_is_computed_again_in_fp32(
    bundle_of: Callable[..., Bundle], tmp_path: Path
) -> None:
    """Features beyond fp16's 65504, though no weight is; of a file there is nothing to compute."""
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
    path = tmp_path / "half.onnx"
    path.write_bytes(export(bundle, Options(precision="fp16")))
    engine = imagen_fast.Engine(OnnxRuntime(read(path), device="cpu"), tile=64, overlap=8)
    with (
        pytest.warns(RuntimeWarning, match="computed in fp32"),
        pytest.raises(BackendError, match="this ONNX file computes in fp16, not in fp32"),
    ):
        engine.run(x)


def test_closed(tiny_bundle: Bundle) -> None:
    backend = OnnxRuntime(tiny_bundle, device="cpu")
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(tiles(1, 8, 8))
