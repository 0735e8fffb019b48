"""The ONNX door: published networks, networks of every module, and what it finds and refuses."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import networks
import numpy as np
import pytest
import torch
from checkpoints import Compact
from running import computed, decibels, defined
from torch import nn

from imagen_fast import importers
from imagen_fast.bundle import load_bundle, save_bundle
from imagen_fast.errors import OperationError, WeightsError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.version_converter")
onnxruntime = pytest.importorskip("onnxruntime")

PUBLISHED = ("disp-x4", "span-c28-x4", "imdn-x4")


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("size", [(48, 64), (37, 41), (5, 3)])  # odd sides, and few pixels
def test_published_networks_compute_what_onnx_runtime_does(
    published: Path, name: str, size: tuple[int, int]
) -> None:
    path = published / f"{name}.onnx"
    image = picture(*size)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": image.numpy()})
    bundle = importers.load(path)
    assert bundle.graph.scale == 4
    assert decibels(defined(bundle, image), expected) >= 80


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("disp-x4", {"convolution": 18, "subpixel_convolution": 1}),
        ("span-c28-x4", {"convolution": 22, "sum": 12, "product": 6, "concatenate": 1}),
        ("imdn-x4", {"reduce": 12, "sum": 6, "product": 6, "slice": 36, "concatenate": 7}),
    ],
)
def test_published_networks_are_fused(published: Path, name: str, counts: dict[str, int]) -> None:
    kinds = [x.kind for x in importers.load(published / f"{name}.onnx").graph.operations]
    assert {kind: kinds.count(kind) for kind in counts} == counts


def imported_as_torch(module: nn.Module, path: Path, *, opset: int = 17) -> None:
    """Checks that the module's export, imported, computes what the module does."""
    networks.export(module, path, min(opset, 20))
    if opset > 20:  # which this exporter does not write
        onnx.save(onnx.version_converter.convert_version(onnx.load(path), opset), path)
    bundle = importers.load(path)
    for size in ((32, 48), (40, 24)):
        image = picture(*size)
        with torch.no_grad():
            expected = module(image)
        error = (defined(bundle, image) - expected).square().mean().sqrt()
        assert error <= 5e-6 * expected.abs().mean()


@pytest.mark.parametrize("name", networks.MODULES)
def test_every_module_is_imported(name: str, tmp_path: Path) -> None:
    imported_as_torch(networks.network(name), tmp_path / "a.onnx")


@pytest.mark.parametrize("seed", range(3))
def test_compositions_that_nobody_wrote_are_imported(seed: int, tmp_path: Path) -> None:
    imported_as_torch(networks.drawn(seed), tmp_path / "a.onnx")


@pytest.mark.parametrize("opset", [11, 13, 18, 20, 23, 26])
def test_opsets(opset: int, tmp_path: Path) -> None:
    names = ["mean pooled", "gate", "squeeze", "bilinear", "mirrored", "clamp", "hard sigmoid"]
    names += ["unshuffled", "instance norm", "contrast"]
    imported_as_torch(networks.network(*names), tmp_path / "a.onnx", opset=opset)


SPELLINGS = {
    "silu": "silu", "gelu": "gelu", "gelu by tanh": "gelu_tanh", "gelu spelled": "gelu_tanh",
    "mish": "mish", "mish spelled": "mish", "hard sigmoid": "hard_swish",
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_activations_are_known_in_their_spellings(name: str, tmp_path: Path) -> None:
    networks.export(networks.network(name), tmp_path / "a.onnx")
    operations = importers.load(tmp_path / "a.onnx").graph.operations
    assert [x.kind for x in operations] == ["convolution", "subpixel_convolution"]
    assert operations[0].attributes["activation"] == SPELLINGS[name]


def test_a_layer_norm_is_one_operation(tmp_path: Path) -> None:
    networks.export(networks.network("layer norm", "depthwise 7×7"), tmp_path / "a.onnx")
    kinds = [x.kind for x in importers.load(tmp_path / "a.onnx").graph.operations]
    assert kinds == ["convolution", "layer_norm", "convolution", "subpixel_convolution"]


def found(path: Path) -> dict[str, object]:
    said: dict[str, object] = json.loads(importers.load(path).metadata["imported"])
    return said


def test_borders_that_convolutions_eat_are_put_around_the_picture(tmp_path: Path) -> None:
    eating = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 8, 3))
    module = nn.Sequential(*eating, nn.ConvTranspose2d(8, 3, 4, 2, 3)).eval()
    networks.export(module, tmp_path / "a.onnx")
    bundle = importers.load(tmp_path / "a.onnx")
    assert found(tmp_path / "a.onnx")["margin"] == 4
    assert (bundle.graph.scale, bundle.task.name) == (2, "upscale")
    image = picture(21, 30)
    with torch.no_grad():
        expected = module(nn.functional.pad(image, (4, 4, 4, 4), mode="replicate"))
    assert decibels(defined(bundle, image), expected) >= 100


def test_sides_are_completed_to_multiples(tmp_path: Path) -> None:
    module = networks.network("max pooled by 4", scale=1)
    networks.export(module, tmp_path / "a.onnx")
    bundle = importers.load(tmp_path / "a.onnx")
    assert found(tmp_path / "a.onnx")["multiple"] == 4
    assert (bundle.graph.scale, bundle.task.name) == (1, "restore")
    image = picture(21, 30)
    with torch.no_grad():
        mirrored = nn.functional.pad(image, (0, 2, 0, 3), mode="reflect")
        expected = module(mirrored)[:, :, :21, :30]
    assert decibels(defined(bundle, image), expected) >= 100


def test_numbers_from_0_to_255_are_found_by_running_it(tmp_path: Path) -> None:
    module = nn.Conv2d(3, 3, 1).eval()
    nn.init.constant_(module.bias, 2.0)  # next to nothing of 255
    nn.init.eye_(module.weight.data[:, :, 0, 0])
    networks.export(module, tmp_path / "a.onnx")
    assert found(tmp_path / "a.onnx")["full"] == 255
    image = picture(20, 20)
    with torch.no_grad():
        expected = module(255 * image) / 255
    assert decibels(defined(importers.load(tmp_path / "a.onnx"), image), expected) >= 100
    networks.export(networks.network("relu"), tmp_path / "b.onnx")
    assert found(tmp_path / "b.onnx")["full"] == 1
    torch.manual_seed(0)
    networks.export(Compact(8, 2).eval(), tmp_path / "c.onnx")  # hardly changes what it enlarges
    assert found(tmp_path / "c.onnx")["full"] == 1


def painting(lightest: float) -> nn.Module:
    """A network whose result has little to do with its picture."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 3, 7, padding=3), nn.InstanceNorm2d(3))
    return nn.Sequential(made, networks.Apply(lambda x: lightest * (0.5 + 0.15 * x))).eval()


def test_paintings_from_0_to_255_are_found_by_where_they_lie(tmp_path: Path) -> None:
    networks.export(painting(255), tmp_path / "a.onnx")
    assert found(tmp_path / "a.onnx")["full"] == 255
    networks.export(painting(1), tmp_path / "b.onnx")
    assert found(tmp_path / "b.onnx")["full"] == 1
    black_and_white = nn.Sequential(painting(1000), nn.Hardtanh(0, 1)).eval()
    networks.export(black_and_white, tmp_path / "c.onnx")
    assert found(tmp_path / "c.onnx")["full"] == 1


def test_one_channel_is_run_over_three(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)).eval()
    networks.export(module, tmp_path / "a.onnx", channels=1)
    image = picture(12, 9)
    with torch.no_grad():
        expected = module(image.transpose(0, 1)).transpose(0, 1)
    assert decibels(defined(importers.load(tmp_path / "a.onnx"), image), expected) >= 100


def test_a_fixed_size_becomes_any(tmp_path: Path) -> None:
    module = networks.network("squeeze", "residual")
    networks.export(module, tmp_path / "a.onnx", size=40)
    image = picture(17, 33)
    with torch.no_grad():
        expected = module(image)
    assert decibels(defined(importers.load(tmp_path / "a.onnx"), image), expected) >= 100


def test_tiles_with_the_exact_overlap_equal_the_whole(tmp_path: Path) -> None:
    from imagen_fast import tiling

    networks.export(networks.network("strided", "depthwise 7×7", "bilinear"), tmp_path / "a.onnx")
    bundle = importers.load(tmp_path / "a.onnx")
    assert bundle.exact_overlap is not None
    image = picture(150, 96).double()
    run = partial(computed, bundle)
    rows = image[0].permute(1, 2, 0).numpy()
    tile = 2 * bundle.exact_overlap + 48
    grid = tiling.cut(150, 96, tile, bundle.exact_overlap, bundle.alignment)
    assert len(grid.rows) > 1
    tiled = np.concatenate(list(tiling.stream(rows, grid, bundle.graph.scale, run, 1)))
    assert np.abs(tiled - run(rows[None])[0]).max() < 1e-7  # tiles fade in single precision


def test_an_imported_model_is_written_and_read(tmp_path: Path) -> None:
    networks.export(networks.network("squeeze"), tmp_path / "a.onnx")
    bundle = importers.load(tmp_path / "a.onnx")
    save_bundle(bundle, tmp_path / "a.safetensors")
    again = load_bundle(tmp_path / "a.safetensors")
    assert again.graph == bundle.graph
    assert again.exact_overlap is None
    assert torch.equal(defined(again, picture(9, 9)), defined(bundle, picture(9, 9)))


@pytest.mark.parametrize(
    ("factor", "mode", "scale"), [(0.75, "bicubic", 3), (1.5, "bilinear", 3), (0.5, "bicubic", 2)]
)
def test_resizing_by_parts(factor: float, mode: str, scale: int, tmp_path: Path) -> None:
    shuffle = round(scale / factor)
    conv = nn.Conv2d(3, 3 * shuffle**2, 3, padding=1)
    resized = nn.Upsample(scale_factor=factor, mode=mode, align_corners=False)
    module = nn.Sequential(conv, nn.PixelShuffle(shuffle), resized).eval()
    networks.export(module, tmp_path / "a.onnx")
    image = picture(21, 30)
    with torch.no_grad():
        expected = module(image)
    bundle = importers.load(tmp_path / "a.onnx")
    assert bundle.graph.scale == scale
    assert decibels(defined(bundle, image), expected) >= 110


@pytest.mark.parametrize(
    ("factor", "said"),
    [(5, r"5 times as large; expected one of 1, 2, 3, 4, 8"), (1.5, "1.5 times")],
)
def test_sizes_that_no_task_has(factor: float, said: str, tmp_path: Path) -> None:
    resized = nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1), nn.Upsample(scale_factor=factor, mode="nearest")
    ).eval()
    networks.export(resized, tmp_path / "a.onnx")
    with pytest.raises((OperationError, WeightsError), match=said):
        _ = importers.load(tmp_path / "a.onnx").task


class Partial(nn.Module):
    """Some channels computed in their place, and the picture's repeated (PLKSR's manner)."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.part, count = slice(first, last), last - first
        self.stem, self.conv = nn.Conv2d(3, 9, 3, padding=1), nn.Conv2d(count, count, 5, padding=2)
        self.head = nn.Conv2d(9, 12, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        y[:, self.part] = self.conv(y[:, self.part])
        base = torch.repeat_interleave(x, 4, dim=1) + 0.1 * x.repeat(1, 4, 1, 1)
        return nn.functional.pixel_shuffle(self.head(y) + base, 2)


@pytest.mark.parametrize("part", [(0, 4), (3, 7), (5, 9), (0, 9)])
def test_channels_are_replaced_and_repeated(part: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    imported_as_torch(Partial(*part).eval(), tmp_path / "a.onnx")


@pytest.mark.parametrize("border", [nn.ReflectionPad2d, nn.ReplicationPad2d, nn.ZeroPad2d])
@pytest.mark.parametrize("kernel", [3, 4, 7])
@pytest.mark.parametrize("groups", [1, 3])
def test_borders_of_what_is_halved(
    border: type[nn.Module], kernel: int, groups: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    around = border((kernel - 1) // 2)  # type: ignore[call-arg]
    halved = nn.Conv2d(12, 12, kernel, stride=2, groups=groups)
    head = nn.Sequential(nn.Conv2d(12, 48, 1), nn.PixelShuffle(4))
    module = nn.Sequential(nn.Conv2d(3, 12, 1), around, halved, head)
    imported_as_torch(module.eval(), tmp_path / "a.onnx")
    kinds = [x.kind for x in importers.load(tmp_path / "a.onnx").graph.operations]
    assert "pad" not in kinds[1:]  # but the one that completes the picture


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_group_norms(groups: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(groups, 12)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -0.5, 0.5)
    module = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), norm, nn.PixelShuffle(2))
    imported_as_torch(module.eval(), tmp_path / "a.onnx")
    assert importers.load(tmp_path / "a.onnx").exact_overlap is None


class Foreign(nn.Module):
    """Softmax over rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.softmax(x, dim=2)


class OfSizes(nn.Module):
    """Computes with the picture's height."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (x.shape[2] / 100.0) + nn.functional.relu(x)


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (Foreign(), r"operation \d+ \(Softmax, '/Softmax'\): the engine has no such operation"),
        (OfSizes(), "something else for pictures of other sizes"),
        (nn.Conv2d(3, 3, 3, stride=3), r"\(Conv, .*stride is 3"),
        (nn.Conv2d(3, 3, 3, stride=2), "does not halve"),
        (nn.Upsample(scale_factor=1.5), r"\(Resize, .*nearest with|\(Resize, .*1.5 times"),
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), "align_corners"),
    ],
)
def test_what_is_none_of_ours_is_named_in_one_line(
    module: nn.Module, problem: str, tmp_path: Path
) -> None:
    networks.export(module, tmp_path / "a.onnx")
    with pytest.raises((OperationError, WeightsError), match=problem) as caught:
        importers.load(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)
