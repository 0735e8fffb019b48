"""TensorRT itself, where it and a GPU are: `make verify-tensorrt`. Not yet run by the authors."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx", reason="the extra onnx is not installed")

from imagen_fast.export import onnx, tensorrt
from imagen_fast.export.onnx_format import exported_run
from imagen_fast.export.options import ExportOptions
from imagen_fast.export.tensorrt_format import TensorRT
from imagen_fast.export.tensorrt_session import TensorRTSession

from imagen_fast.backends import backend_class
from imagen_fast.bench.check import check
from imagen_fast.bench.picture import pictures
from imagen_fast.bundle import Bundle, load_bundle
from imagen_fast.catalogue import resolve
from imagen_fast.errors import BackendError
from imagen_fast.tasks.export import export

MISSING = TensorRT.missing(verify=True)
pytestmark = pytest.mark.skipif(bool(MISSING), reason=str(MISSING))
MODEL = resolve("sr-x4-tiny")
SHAPES = ((1, 256, 384), (1, 384, 256), (1, 37, 53), (4, 64, 48), (1, 1, 1), (1, 1024, 1024))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(MODEL)


def reference(bundle: Bundle, x):
    return backend_class("eager")(bundle, device="cpu", precision="fp32").run(x)


@pytest.mark.parametrize(
    "options",
    [
        ExportOptions(),
        ExportOptions(precision="fp16"),
        ExportOptions(precision="fp16", io="uint8"),
        ExportOptions("fp16", (256, 256), 2, 23),
    ],
    ids=str,
)
def test_engines_are_verified_when_they_are_exported(options, tmp_path):
    assert export(MODEL, "tensorrt", tmp_path / "a.engine", options).verification is not None


@pytest.mark.parametrize(("precision", "levels"), [("fp32", 1), ("fp16", 8)])
def test_the_backend_on_tiles_of_all_shapes(bundle, precision, levels):
    backend = backend_class("tensorrt")(bundle, precision=precision)
    for n, h, w in SHAPES:
        x = pictures(n, max(h, w))[:, :h, :w]
        assert check(backend.run(x), reference(bundle, x), precision)[1] == "", (n, h, w)
    x = (pictures(1, 64) * 255).round().astype(np.uint8)
    assert np.abs(backend.run(x).astype(int) - reference(bundle, x)).max() <= levels
    with pytest.raises(BackendError, match="choose a smaller tile"):
        backend.run(np.zeros((1, 1025, 8, 3), np.float32))


def test_an_engine_that_was_given_other_weights_is_theirs(bundle):
    options = ExportOptions(shape=(128, 128), batch=1, refit=True)
    other = {name: tensor * np.float32(0.9) for name, tensor in bundle.tensors.items()}
    changed = Bundle(bundle.source, other, bundle.metadata)
    graph, where = bundle.graph, tensorrt.place()
    files = [onnx.export(b, ExportOptions(shape=(128, 128), batch=1)) for b in (bundle, changed)]
    engine = tensorrt.build(files[0], options, graph=graph, where=where, say=print)
    session = TensorRTSession(tensorrt.refit(engine, files[1]), graph, options)
    run, x = exported_run(session.run, graph, options), pictures(1, 128)
    assert check(run({"image": x})["picture"], reference(changed, x), "fp32")[1] == ""


def test_another_version_s_engine_is_refused(bundle):
    with pytest.raises(BackendError, match="build it here"):
        TensorRTSession(b"no engine", bundle.graph, ExportOptions())
