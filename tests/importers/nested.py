"""waifu2x's cunet, narrow and without attention: two networks in one, both of which halve.

The second one halves, with its input's margin of 18 pixels, from an odd pixel on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.nn.functional as F
from ncnn_files import Writer
from torch import Tensor, nn

MARGIN, MULTIPLE, SCALE = 18, 2, 2


class Nested(nn.Module):
    """Enlarges twice. Every convolution reads no border."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        inner = [(width, width)] * 9
        self.first = nn.ModuleList(nn.Conv2d(*pair, 3) for pair in [(3, width), *inner[:4]])
        pairs = [(3, width), *inner[:8], (width, 3)]
        self.second = nn.ModuleList(nn.Conv2d(*pair, 3) for pair in pairs)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 2, 2) for _ in range(3))
        self.up = nn.ModuleList(nn.ConvTranspose2d(width, width, 2, 2) for _ in range(3))
        self.enlarge = nn.ConvTranspose2d(width, 3, 4, 2, 3)
        nn.init.constant_(self.enlarge.bias, 0.5)

    def drawn(self, x: Any, on: Any) -> Any:
        """With steps that compute, or that write."""
        down, up = self.down, self.up
        first, second = list(self.first), list(self.second)
        a = on.steps(x, *first[:2])
        y = on.cropped_sum(a, on.steps(a, down[0], *first[2:4], up[0]), 4)
        large = on.last(on.steps(y, first[4]), self.enlarge)
        a = on.steps(large, *second[:2])
        b = on.steps(a, down[1], *second[2:4])
        y = on.cropped_sum(b, on.steps(b, down[2], *second[4:6], up[1]), 4)
        y = on.cropped_sum(a, on.steps(y, *second[6:8], up[2]), 16)
        return on.cropped_sum(large, on.last(on.steps(y, second[8]), second[9]), 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.drawn(x, Computing)

    def write(self, path: Path) -> None:
        """ncnn's two files."""
        on = Writing()
        on.add("Input", [], ["data"])
        self.drawn("data", on)
        on.write(path)


class Computing:
    @staticmethod
    def steps(x: Tensor, *layers: nn.Module) -> Tensor:
        for layer in layers:
            x = F.leaky_relu(layer(x), 0.1)
        return x

    @staticmethod
    def last(x: Tensor, layer: nn.Module) -> Tensor:
        return layer(x)

    @staticmethod
    def cropped_sum(x: Tensor, y: Tensor, margin: int) -> Tensor:
        return F.pad(x, (-margin,) * 4) + y


class Writing(Writer):
    def steps(self, x: str, *layers: Any) -> str:
        for layer in layers:
            x = self.conv(layer, x, f"x{len(self.lines)}", "9=2", "-23310=1,0.1")
        return x

    def last(self, x: str, layer: Any) -> str:
        return self.conv(layer, x, f"x{len(self.lines)}")

    def cropped_sum(self, x: str, y: str, margin: int) -> str:
        part = self.add("Crop", [x, y], [f"x{len(self.lines)}"], f"0={margin}", f"1={margin}")
        return self.add("Eltwise", [part, y], [f"x{len(self.lines)}"], "0=1")
