"""What exported files are made of, and what is special of them (tests/parity has the rest)."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from imagen_fast.export.options import ExportOptions
from numpy.typing import NDArray

from imagen_fast.bundle import Bundle
from imagen_fast.spec import Level, ModelSpec

torch = pytest.importorskip("torch", reason="the reference needs PyTorch")
onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
from imagen_fast.export.onnx import export  # noqa: E402 (needs onnx)
from reference import rms  # noqa: E402 - which needs PyTorch

from imagen_fast.models.build import build  # noqa: E402 (needs torch)

ONE = ModelSpec(scale=1, levels=(Level(16, convs=1),), head_dim=8)
SPECS = {
    "one level, scale 1": ONE,
    "scale 2": replace(ONE, scale=2),
    "scale 3, grey, more blocks": replace(
        ONE, scale=3, image_channels=1, levels=(Level(16, depth=3, convs=0),)
    ),
    "scale 4, two levels": ModelSpec(levels=(Level(32), Level(32))),
    "mixed": ModelSpec(
        scale=2,
        levels=(Level(20, depth=2, convs=1), Level(30, attention="global"), Level(10, convs=0)),
        head_dim=5,
        window=6,
        latent_channels=3,
    ),
}


def images(n: int, h: int, w: int, c: int) -> NDArray[np.float32]:
    return np.random.default_rng(h).random((n, h, w, c), dtype=np.float32)


def answers(bundle: Bundle, x: NDArray[np.float32], precision: str) -> tuple[Any, Any]:
    """The reference's, in float64 and in the precision."""
    planes = torch.from_numpy(x)
    with torch.inference_mode():
        truth = build(bundle).double()(planes.double()).numpy()
        with torch.autocast("cpu", torch.float16, enabled=precision == "fp16"):
            return truth, build(bundle)(planes).double().numpy()


@pytest.mark.parametrize("opset", [20, 23])
def test_half_where_squares_overflow(
    opset: int, runtime: Callable[..., Any], bundle_of: Callable[..., Bundle]
) -> None:
    """q and k of about 1000: normalised, they are as good as any; squared, they are beyond fp16."""
    bundle = bundle_of(SPECS["scale 2"])
    tensors = dict(bundle.tensors)
    for name in tensors:
        if name.endswith("attention.q.weight"):
            tensors[name] = tensors[name] * np.float32(3000)
    large = Bundle(bundle.spec, tensors)
    x = np.ascontiguousarray(images(1, 21, 19, 3).transpose(0, 3, 1, 2))
    truth, _ = answers(large, x, "fp32")
    output = runtime(export(large, ExportOptions(precision="fp16", opset=opset)))(x)
    assert rms(output - truth) < 2e-3
    assert truth.std() > 0.1


@pytest.mark.parametrize("shape", [None, (13, 18)])
def test_bytes(
    shape: tuple[int, int] | None, runtime: Callable[..., Any], bundle_of: Callable[..., Bundle]
) -> None:
    """As `Backend.run` has them: divided by 255, clamped, rounded half to even."""
    bundle = bundle_of(SPECS["mixed"])
    run = runtime(export(bundle, ExportOptions(io="uint8", shape=shape)))
    x = (images(2, 13, 18, 3) * 255).round().astype(np.uint8)
    planes = np.ascontiguousarray(x.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)
    truth, _ = answers(bundle, planes, "fp32")
    exact = (truth.clip(0, 1) * 255).transpose(0, 2, 3, 1)
    output = run(x)
    assert output.dtype == np.uint8
    assert output.shape == (2, 26, 36, 3)
    assert np.abs(output - exact).max() < 0.501  # the nearest byte
    assert {0, 255} < set(output.ravel().tolist())  # clamped at both ends


@cache
def operators(
    spec: ModelSpec, options: ExportOptions, bundle_of: Callable[..., Bundle]
) -> Counter[str]:
    return Counter(
        node.op_type for node in onnx.load_from_string(export(bundle_of(spec), options)).graph.node
    )


@pytest.mark.parametrize("name", ["mixed", "scale 4, two levels"])
def test_attention_nodes(name: str, bundle_of: Callable[..., Bundle]) -> None:
    spec = SPECS[name]
    blocks = sum(2 * level.depth for level in spec.levels)
    assert operators(spec, ExportOptions(opset=23), bundle_of)["Attention"] == blocks
    assert "Softmax" not in operators(spec, ExportOptions(opset=23), bundle_of)
    assert operators(spec, ExportOptions(opset=20), bundle_of)["Softmax"] == blocks


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize("batch", [1, 2])
def test_nothing_is_left_to_fold(batch: int, opset: int, bundle_of: Callable[..., Bundle]) -> None:
    """Every node depends on the picture, but those that repeat a mask; and no node is idle."""
    for spec in SPECS.values():
        fixed = ExportOptions(shape=(13, 18), batch=batch, opset=opset)
        for options in (fixed, ExportOptions(opset=opset)):
            graph = onnx.load_from_string(export(bundle_of(spec), options)).graph
            known = {tensor.name for tensor in graph.initializer}
            folded = [n for n in graph.node if known.issuperset(n.input)]
            assert {node.op_type for node in folded} <= {"Tile"}, options
            used = {name for node in graph.node for name in node.input}
            assert used - known - {"image"} <= {o for n in graph.node for o in n.output}
            assert known <= used
            assert all({"picture", *used}.intersection(node.output) for node in graph.node)
            signatures = [
                (n.op_type, tuple(n.input), tuple(map(str, n.attribute))) for n in graph.node
            ]
            twice = {s[0] for s, count in Counter(signatures).items() if count > 1}
            assert not twice, options  # common subexpressions
        assert not {"Shape", "Range", "Where", "Concat"} & set(operators(spec, fixed, bundle_of))
