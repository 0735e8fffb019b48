"""Models to export, and runtimes to run the files on."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from openvino_process import infer

from imagen_fast.bundle import Bundle
from imagen_fast.spec import Level, ModelSpec

Run = Callable[[NDArray[Any]], NDArray[Any]]
RUNTIMES = ("onnxruntime", "openvino")


def listing_bundle(d_model: int = 20, depth: int = 2) -> Bundle:
    """A listing with random weights, of a d_model that fills no vector."""
    level = Level(d_model, depth, convs=0, attention="global")
    spec = ModelSpec("listing", scale=1, levels=(level,), head_dim=d_model)
    rng = np.random.default_rng(0)
    bound = 1.5 * d_model**-0.5
    tensors = {
        f"{part}.{number}.{linear}.{kind}": rng.uniform(
            -bound, bound, (d_model, d_model) if kind == "weight" else d_model
        ).astype(np.float32)
        for part in ("encoder", "decoder")
        for number in range(depth)
        for linear in ("q", "k", "v", "out")
        for kind in ("weight", "bias")
    }
    return Bundle(spec, tensors, {"name": "listing"})


def on_onnxruntime(data: bytes) -> Run:
    ort = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda x: session.run(None, {given.name: x})[0]


def on_openvino(data: bytes) -> Run:
    """In fp32 whatever the processor would prefer: the file's own precision is what is tested."""
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("OpenVINO is not installed")
    return lambda x: next(iter(infer(data, {"image": x}).values()))


@pytest.fixture(scope="session", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Callable[[bytes], Run]:
    """Makes a function of a file's content."""
    return {"onnxruntime": on_onnxruntime, "openvino": on_openvino}[request.param]


@pytest.fixture(scope="session")
def listing() -> Bundle:
    return listing_bundle()


@pytest.fixture(scope="session")
def smallest(bundle_of: Callable[[ModelSpec], Bundle]) -> Bundle:
    """A network whose file is small."""
    spec = ModelSpec(scale=2, levels=(Level(8, convs=1), Level(16, convs=0)), head_dim=8, window=2)
    return bundle_of(spec)


@pytest.fixture(scope="session")
def whole(smallest: Bundle) -> bytes:
    """Its file."""
    from imagen_fast.export.onnx import export
    from imagen_fast.export.options import ExportOptions

    return export(smallest, ExportOptions())
