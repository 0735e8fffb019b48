"""Attributes that change what an ONNX operator computes: as ONNX Runtime has them, or refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import decibels, defined

from imagen_fast import importers
from imagen_fast.errors import OperationError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
node = onnx.helper.make_node

SIZES = ((16, 24), (8, 32))
UP = node("Resize", ["small", "", "again"], ["y"], mode="nearest",
          coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip


def written(path: Path, nodes: list[Any], opset: int = 18, **weights: Any) -> Path:
    """A network from "x" to "y", both of three channels."""
    picture = [1, 3, None, None]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, picture) for name in "xy"
    ]
    arrays = [
        onnx.numpy_helper.from_array(np.asarray(x, np.float32), name) for name, x in weights.items()
    ]
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], arrays)
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8
    )
    onnx.save(model, path)
    return path


def resized(path: Path, factor: float, opset: int = 18, **how: Any) -> Path:
    """By Resize as it was or is; what it reduces becomes as large as it was."""
    name = "small" if factor < 1 else "y"
    reads = ["x", "scales"] if opset < 11 else ["x", "", "scales"]
    nodes = [node("Resize", reads, [name], **how), *([UP] if factor < 1 else [])]
    scales = {"scales": [1, 1, factor, factor]}
    if factor < 1:
        scales["again"] = [1, 1, 1 / factor, 1 / factor]
    return written(path, nodes, opset, **scales)


def as_runtime(path: Path) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    bundle = importers.load(path)
    for size in SIZES:
        image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        (expected,) = session.run(None, {"x": image.numpy()})
        assert decibels(defined(bundle, image), expected) >= 100


@pytest.mark.parametrize("centres", ["asymmetric", "half_pixel", "pytorch_half_pixel"])
@pytest.mark.parametrize("factor", [2, 3, 4, 0.5, 0.25])
def test_nearest_pixels(centres: str, factor: float, tmp_path: Path) -> None:
    for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        how = {"coordinate_transformation_mode": centres, "nearest_mode": rounding}
        as_runtime(resized(tmp_path / f"{rounding}.onnx", factor, mode="nearest", **how))


@pytest.mark.parametrize(
    ("mode", "factor", "centres"),
    [
        *itertools.product(["linear", "cubic"], [2, 3], ["asymmetric", "half_pixel"]),
        ("linear", 0.5, "asymmetric"),
        ("cubic", 0.25, "asymmetric"),
    ],
)
def test_pixels_between(mode: str, factor: float, centres: str, tmp_path: Path) -> None:
    how = {"mode": mode, "coordinate_transformation_mode": centres}
    as_runtime(resized(tmp_path / "a.onnx", factor, **how))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("factor", [2, 3])
def test_opset_10_resizes_by_corners(mode: str, factor: int, tmp_path: Path) -> None:
    as_runtime(resized(tmp_path / "a.onnx", factor, opset=10, mode=mode))


def test_an_old_upsample_is_by_corners_too(tmp_path: Path) -> None:
    up = node("Upsample", ["x", "scales"], ["y"], mode="linear")
    as_runtime(written(tmp_path / "a.onnx", [up], opset=9, scales=[1, 1, 2, 2]))


def test_axes_are_in_any_order(tmp_path: Path) -> None:
    up = node("Resize", ["x", "", "scales"], ["y"], mode="nearest", axes=[3, 2])
    as_runtime(written(tmp_path / "a.onnx", [up], scales=[2, 2]))


def test_a_batch_norm_in_training_is_of_the_picture(tmp_path: Path) -> None:
    names = ["x", "scale", "offset", "mean", "variance"]
    norm = node("BatchNormalization", names, ["y", "m", "v"], training_mode=1)
    numbers = np.random.default_rng(0).uniform(0.5, 2, (4, 3))
    weights = dict(zip(names[1:], numbers, strict=True))
    as_runtime(written(tmp_path / "a.onnx", [norm], opset=15, **weights))


@pytest.mark.parametrize(("opset", "count"), [(18, 2), (21, 6)])
def test_group_norms_weigh_groups_or_channels(opset: int, count: int, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "wide"], ["a"]),
        node("GroupNormalization", ["a", "scale", "offset"], ["b"], num_groups=2, epsilon=1e-3),
        node("Conv", ["b", "thin"], ["y"]),
    ]
    shapes = {"wide": (6, 3, 1, 1), "thin": (3, 6, 1, 1), "scale": (count,), "offset": (count,)}
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    as_runtime(written(tmp_path / "a.onnx", nodes, opset, **weights))


@pytest.mark.parametrize(("kernel", "border"), [(2, 0), (4, 1)])
def test_whole_pools_are_what_they_are(kernel: int, border: int, tmp_path: Path) -> None:
    pads = [border] * 4
    how = {"kernel_shape": [kernel] * 2, "strides": [2, 2], "pads": pads, "ceil_mode": 1}
    pool = node("MaxPool", ["x"], ["small"], **how)
    as_runtime(written(tmp_path / "a.onnx", [pool, UP], again=[1, 1, 2, 2]))


POOL = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}
REFUSED = {
    "exclude_outside is 1": node("Resize", ["x", "", "n"], ["y"], mode="cubic", exclude_outside=1),
    "ceil_mode is 1": node("MaxPool", ["x"], ["y"], pads=[1, 1, 1, 1], **POOL),
    "ceil_mode is 1, ": node("AveragePool", ["x"], ["y"], **POOL),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_what_the_engine_lacks_is_refused(problem: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.onnx", [REFUSED[problem]], n=[1, 1, 2, 2])
    with pytest.raises(OperationError, match=rf"operation 0 \({REFUSED[problem].op_type}, .*"):
        importers.load(path)
    with pytest.raises(OperationError, match=problem):
        importers.load(path)
