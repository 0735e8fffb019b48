"""Ranges and means of other people's pictures, at both ends of a network: in its convolutions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import networks
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from running import defined
from torch import Tensor, nn

from imagen_fast import importers

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

C, FACTOR = 8, 2
MEAN = torch.tensor([0.45, 0.44, 0.40]).view(1, 3, 1, 1)
HEAD = ["convolution", "subpixel_convolution"]  # nothing else
SHIFTED = ["convolution", *HEAD]  # its border is of zeros, so a mean is subtracted before


def nearest(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=FACTOR, mode="nearest")


def body(*last: nn.Module) -> nn.Sequential:
    """Two convolutions, and what comes after."""
    second = nn.Conv2d(C, 3 * FACTOR**2, 3, padding=1)
    return nn.Sequential(nn.Conv2d(3, C, 3, padding=1), nn.ReLU(), second, *last)


class Between(nn.Module):
    """A network that reads `before` the picture, and whose result `after` is a picture."""

    def __init__(
        self,
        before: Callable[[Tensor], Tensor],
        after: Callable[[Tensor], Tensor],
        base: Callable[[Tensor], Tensor] | None = None,
        *last: nn.Module,
    ) -> None:
        super().__init__()
        self.before, self.after, self.base = before, after, base
        self.body = body(*(last or (nn.PixelShuffle(FACTOR),)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        y = self.body(x)
        return self.after(y if self.base is None else y + self.base(x))


def same(x: Tensor) -> Tensor:
    return x


def centred(x: Tensor) -> Tensor:
    return 255 * (x - MEAN)


def back(x: Tensor) -> Tensor:
    return x / 255 + MEAN


def to_three() -> nn.Module:
    return nn.Conv2d(3 * FACTOR**2, 3, 3, padding=1)


NETWORKS: dict[str, tuple[list[str], Callable[[], nn.Module]]] = {
    "0 to 255 and a base": (
        HEAD,
        lambda: Between(lambda x: 255 * x, lambda y: y / 255, nearest),
    ),
    "means back": (SHIFTED, lambda: Between(centred, back)),
    "means back, with a base": (SHIFTED, lambda: Between(centred, back, nearest)),
    "-1 to 1, with a base": (
        ["sum", *HEAD],
        lambda: Between(lambda x: 2 * x - 1, lambda y: 0.5 * y + 0.5, nearest),
    ),
    "a mean alone": (HEAD, lambda: Between(same, lambda y: y + MEAN, nearest)),
    "another base": (
        [*HEAD, "sum"],  # no base that there is, times 1/255
        lambda: Between(same, lambda y: y / 255, nearest),
    ),
    "residuals": (4 * ["convolution"], lambda: Between(centred, back, same, to_three())),
    "a function of residuals": (
        [*4 * ["convolution"], "sum"],
        lambda: Between(centred, lambda y: torch.sigmoid(back(y)), same, to_three()),
    ),
    "transposed": (
        [*3 * ["convolution"], "transposed_convolution"],
        lambda: Between(centred, back, None, nn.ConvTranspose2d(3 * FACTOR**2, 3, 4, 2, 1)),
    ),
    "clamped": (HEAD, lambda: Between(same, lambda y: y.clamp(0, 1), nearest)),
    "clamped at 255": (
        HEAD,
        lambda: Between(lambda x: 255 * x, lambda y: y.clamp(0, 255) / 255, nearest),
    ),
    "no less than 0": (HEAD, lambda: Between(same, torch.relu)),
    "clamped tighter": ([*HEAD, "sum"], lambda: Between(same, lambda y: y.clamp(0, 0.5))),
    "clamped, and lighter": (
        [*HEAD, "sum"],
        lambda: Between(same, lambda y: y.clamp(0, 1) + 0.1),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_left_but_convolutions(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kinds, make = NETWORKS[name]
    networks.export(make().eval(), tmp_path / "a.onnx")
    image = torch.rand(1, 3, 11, 7)
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": image.numpy()})
    bundle = importers.load(tmp_path / "a.onnx")
    found = defined(bundle, image).clamp(0, 1).numpy()  # as a picture is
    assert np.abs(found - expected.clip(0, 1)).max() <= 2e-6
    assert [x.kind for x in bundle.graph.operations] == kinds
