"""What ONNX repeats along channels, rows and columns, whoever reads it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import pytest
import torch
import torch.nn.functional as F
from running import decibels, defined
from torch import Tensor, nn

from imagen_fast import importers

pytest.importorskip("onnx")

C = 8


class Net(nn.Module):
    """A convolution, what is done with its result, and a convolution."""

    def __init__(self, middle: Callable[[nn.ModuleDict, Tensor], Tensor], channels: int) -> None:
        super().__init__()
        sizes = {"first": (3, C), "mid": (C, C), "grey": (C, 1), "last": (channels, 12)}
        self.convs = nn.ModuleDict(
            {name: nn.Conv2d(*pair, 3, padding=1) for name, pair in sizes.items()}
        )
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        y = self.middle(self.convs, self.convs["first"](x))
        return F.pixel_shuffle(self.convs["last"](y), 2)


def pooled(y: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(y, 1)


def highest(y: Tensor) -> Tensor:
    return F.adaptive_max_pool2d(y, 1)


def by_reshaping(y: Tensor) -> Tensor:
    """Each pixel four times, in two dimensions of their own."""
    n, c, h, w = y.shape
    return y[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(n, c, 2 * h, 2 * w)


# Channels that come out, and what is done.
EXPANDED: dict[str, tuple[int, Callable[[nn.ModuleDict, Tensor], Tensor]]] = {
    "a mean, convolved": (C, lambda m, y: y + m["mid"](pooled(y).expand_as(y))),
    "a mean, joined": (2 * C, lambda m, y: torch.cat([y, pooled(y).expand_as(y)], 1)),
    "two of a pixel": (C, lambda m, y: pooled(y).expand_as(y) * highest(y).expand_as(y)),
    "a pixel and a channel": (
        C, lambda m, y: pooled(y).expand_as(y) - m["grey"](y).expand_as(y),
    ),
    "grey, summed": (1, lambda m, y: m["grey"](y).expand(-1, 5, -1, -1).sum(1, keepdim=True)),
    "grey, joined": (C + 3, lambda m, y: torch.cat([m["grey"](y).expand(-1, 3, -1, -1), y], 1)),
    "grey, weighted": (
        C, lambda m, y: m["grey"](y).expand_as(y) * torch.linspace(-1, 1, C).view(1, C, 1, 1),
    ),
    "pixels, by reshaping": (C, lambda m, y: by_reshaping(F.max_pool2d(m["mid"](y), 2))),
    "channels, by reshaping": (
        4 * C, lambda m, y: y[:, :, None].expand(-1, -1, 4, -1, -1).flatten(1, 2),
    ),
}  # fmt: skip


def imported(module: nn.Module, path: Path) -> list[str]:
    """Kinds of a network's operations; checks that they compute what it does."""
    networks.export(module, path)
    bundle = importers.load(path)
    for size in ((16, 24), (20, 10)):
        image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            expected = module(image)
        assert decibels(defined(bundle, image), expected) >= 110
    return [x.kind for x in bundle.graph.operations]


@pytest.mark.parametrize("name", EXPANDED)
def test_it_is_repeated(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    channels, middle = EXPANDED[name]
    imported(Net(middle, channels).eval(), tmp_path / "a.onnx")


def test_a_grey_picture_is_one_of_three_channels(tmp_path: Path) -> None:
    grey = networks.Apply(lambda x: x.mean(1, keepdim=True).expand(-1, 3, -1, -1))
    imported(grey.eval(), tmp_path / "a.onnx")


def test_factors_are_not_repeated_for_arithmetic(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net(lambda m, y: y * torch.sigmoid(0.5 * pooled(y).expand_as(y)), C)
    kinds = ["convolution", "reduce", "sum", "sum", "product", "subpixel_convolution"]
    assert sorted(imported(net.eval(), tmp_path / "a.onnx")) == sorted(kinds)
