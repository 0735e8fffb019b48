"""Networks that halve from an odd pixel on, and those whose result is added to the picture."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import networks
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ncnn_files import Writer
from nested import MARGIN, MULTIPLE, SCALE, Nested
from running import computed, decibels, defined

from imagen_fast import importers, tiling
from imagen_fast.bundle import Bundle
from imagen_fast.errors import SpecError
from imagen_fast.graph import Output
from imagen_fast.graph.reach import reads


@pytest.fixture(scope="module")
def module() -> Nested:
    torch.manual_seed(0)
    return Nested().eval()


def imported(module: Nested, door: str, folder: Path) -> Bundle:
    if door == "onnx":
        pytest.importorskip("onnx")
        networks.export(module, folder / "a.onnx", size=80)
    else:
        module.write(folder / "a")
    return importers.load(folder / ("a.onnx" if door == "onnx" else "a.param"))


@pytest.mark.parametrize("door", ["onnx", "ncnn"])
@pytest.mark.parametrize("size", [(45, 37), (64, 50), (3, 2)])
def test_they_compute_what_they_do_there(
    module: Nested, door: str, size: tuple[int, int], tmp_path: Path
) -> None:
    bundle = imported(module, door, tmp_path)
    found = json.loads(bundle.metadata["imported"])
    assert (found["margin"], found["multiple"], bundle.graph.scale) == (MARGIN, MULTIPLE, SCALE)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    high, wide = size
    with torch.no_grad():
        even = F.pad(image, (0, wide % 2, 0, high % 2), mode="reflect")
        expected = module(F.pad(even, (MARGIN,) * 4, mode="replicate"))
    expected = expected[..., : SCALE * high, : SCALE * wide]
    assert decibels(defined(bundle, image), expected) >= 110


def test_tiles_equal_the_whole(module: Nested, tmp_path: Path) -> None:
    bundle = imported(module, "ncnn", tmp_path)
    overlap = bundle.exact_overlap
    assert overlap is not None
    image = torch.rand(1, 3, 160, 96, dtype=torch.float64)
    run = partial(computed, bundle)
    rows = image[0].permute(1, 2, 0).numpy()
    whole = run(rows[None])[0]
    for core in (8, 14):  # tiles that begin on other pixels
        grid = tiling.cut(160, 96, 2 * overlap + core, overlap, bundle.alignment)
        assert len(grid.rows) > 1
        tiled = np.concatenate(list(tiling.stream(rows, grid, SCALE, run, 1)))
        assert np.abs(tiled - whole).max() < 1e-7  # tiles fade in single precision


def test_between_pixels_lies_no_output(module: Nested, tmp_path: Path) -> None:
    graph = imported(module, "ncnn", tmp_path).graph
    between = next(name for name, x in graph.values.items() if x.grid.around % 2)
    with pytest.raises(SpecError, match="lie between"):
        type(graph)(graph.inputs, graph.operations, {"y": Output(between)})


@pytest.mark.parametrize("less", [True, False])
def test_what_is_to_be_added_to_the_picture_is(less: bool, tmp_path: Path) -> None:
    """The difference between two ways to enlarge, and the better way itself."""
    w = Writer()
    w.add("Input", [], ["data"])
    better = w.add("Interp", ["data"], ["better"], "0=3", "1=2.0", "2=2.0")
    if less:
        w.add("Interp", ["data"], ["repeated"], "0=1", "1=2.0", "2=2.0")
        w.add("BinaryOp", [better, "repeated"], ["out"], "0=1")
    w.write(tmp_path / "a")
    bundle = importers.load(tmp_path / "a.param")
    image = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(image, scale_factor=2, mode="bicubic")
    assert decibels(defined(bundle, image), expected) >= 110


def test_a_pixel_reads_none_but_those_that_the_reach_says(module: Nested, tmp_path: Path) -> None:
    bundle = imported(module, "ncnn", tmp_path)
    image = torch.rand(1, 3, 90, 90, dtype=torch.float64, requires_grad=True)
    output = defined(bundle, image)
    for position in range(44, 44 + bundle.alignment):
        part = output[..., SCALE * position : SCALE * (position + 1)].sum()
        (slopes,) = torch.autograd.grad(part, image, retain_graph=True)
        changing = slopes.abs().amax((0, 1, 2)).nonzero().ravel()
        low, high = reads(bundle.graph, position) or (0, 0)
        assert low <= changing.min() <= low + 4
        assert high - 4 <= changing.max() <= high
