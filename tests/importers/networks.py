"""Networks to import: those of one module each, and compositions of all of them drawn at random."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 12


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Residual(nn.Module):
    """x + scale · body(x)."""

    def __init__(self, *body: nn.Module, scale: float = 1.0) -> None:
        super().__init__()
        self.body, self.scale = nn.Sequential(*body), scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.body(x)


class ChannelNorm(nn.Module):
    """Layer norm over channels, spelled out (Restormer's, NAFNet's)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels) + 0.5)
        self.bias = nn.Parameter(torch.randn(channels) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / (variance + 1e-6).sqrt()
        return self.weight.view(1, -1, 1, 1) * x + self.bias.view(1, -1, 1, 1)


class LastNorm(nn.Module):
    """The same with channels last, through a linear layer (ConvNeXt's)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(F.gelu(self.norm(x.permute(0, 2, 3, 1))))
        return x.permute(0, 3, 1, 2)


class Gate(nn.Module):
    """Half of the channels times the other half, or their sigmoid."""

    def __init__(self, channels: int, sigmoid: bool = False) -> None:
        super().__init__()
        self.conv, self.sigmoid = nn.Conv2d(channels, 2 * channels, 1), sigmoid

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.conv(x).chunk(2, 1)
        return a * (torch.sigmoid(b) - 0.5 if self.sigmoid else b)


class Squeeze(nn.Module):
    """Squeeze and excitation with linear layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, c = x.shape[:2]
        weight = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return x * weight.view(n, c, 1, 1)


class Spatial(nn.Module):
    """Spatial attention of the mean and the maximum over channels (CBAM's)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(maps))


class Contrast(nn.Module):
    """Mean and deviation over the picture (IMDN's)."""

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2] * x.shape[3]
        mean = x.sum(3, keepdim=True).sum(2, keepdim=True) / size
        variance = (x - mean).pow(2).sum(3, keepdim=True).sum(2, keepdim=True) / size
        return x * torch.sigmoid(variance.pow(0.5) + F.adaptive_avg_pool2d(x, 1))


def shuffled(x: Tensor) -> Tensor:
    """Channels in groups, interleaved (ShuffleNet's)."""
    n, c, h, w = x.shape
    return x.view(n, 3, c // 3, h, w).transpose(1, 2).reshape(n, c, h, w)


def tanh_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def spelled_mish(x: Tensor) -> Tensor:
    return x * torch.tanh(F.softplus(x))


class Down(nn.Module):
    """Down to half the size and up again, with a skip."""

    def __init__(self, down: nn.Module, up: nn.Module) -> None:
        super().__init__()
        self.down, self.up = down, up

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.up(self.down(x))


class ConvNeXt(nn.Module):
    """A ConvNeXt block (Liu et al. 2022): depthwise 7×7, layer norm, two linear layers, a scale."""

    def __init__(self, channels: int = WIDTH) -> None:
        super().__init__()
        self.depth = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide, self.thin = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.thin(F.gelu(self.wide(y))) * self.scale
        return x + y.permute(0, 3, 1, 2)


class NAF(nn.Module):
    """A NAFNet block (Chen et al. 2022): layer norms, gates, attention to channels."""

    def __init__(self, channels: int = WIDTH) -> None:
        super().__init__()
        self.norm, self.norm_2 = ChannelNorm(channels), ChannelNorm(channels)
        self.wide, self.wide_2 = (nn.Conv2d(channels, 2 * channels, 1) for _ in range(2))
        self.depth = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.pooled, self.thin, self.thin_2 = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.beta, self.gamma = (nn.Parameter(torch.rand(1, channels, 1, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.depth(self.wide(self.norm(x))).chunk(2, 1)
        y = a * b
        x = x + self.beta * self.thin(y * self.pooled(F.adaptive_avg_pool2d(y, 1)))
        a, b = self.wide_2(self.norm_2(x)).chunk(2, 1)
        return x + self.gamma * self.thin_2(a * b)


def conv(channels: int = WIDTH, kernel: int = 3, **how: object) -> nn.Conv2d:
    how = {"padding": kernel // 2, **how}
    return nn.Conv2d(WIDTH, channels, kernel, **how)  # type: ignore[arg-type]


def up(kernel: int, padding: int, more: int = 0) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(WIDTH, WIDTH, kernel, 2, padding, more)


# What keeps the channels and the size, each for a composition.
MODULES: dict[str, Callable[[], nn.Module]] = {
    "3×3": conv,
    "1×1": lambda: conv(kernel=1, bias=False),
    "5×5": lambda: conv(kernel=5),
    "depthwise 7×7": lambda: conv(kernel=7, groups=WIDTH),
    "groups": lambda: conv(groups=3),
    "dilated": lambda: conv(padding=2, dilation=2),
    "1×3 and 3×1": lambda: nn.Sequential(
        nn.Conv2d(WIDTH, WIDTH, (1, 3), padding=(0, 1)),
        nn.Conv2d(WIDTH, WIDTH, (3, 1), padding=(1, 0)),
    ),
    "even": lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 1, 0)), conv(kernel=2, padding=0)),
    "mirrored": lambda: conv(padding_mode="reflect"),
    "repeated": lambda: conv(padding_mode="replicate"),
    "relu": lambda: nn.Sequential(conv(), nn.ReLU()),
    "leaky": lambda: nn.Sequential(conv(), nn.LeakyReLU(0.2)),
    "prelu": lambda: nn.Sequential(conv(), nn.PReLU(WIDTH)),
    "prelu of one slope": lambda: nn.PReLU(),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "gelu by tanh": lambda: nn.GELU("tanh"),
    "gelu spelled": lambda: Apply(tanh_gelu),
    "mish": nn.Mish,
    "mish spelled": lambda: Apply(spelled_mish),
    "hard sigmoid": lambda: Apply(lambda x: x * F.hardsigmoid(x)),
    "hard swish": lambda: nn.Sequential(conv(), nn.Hardswish()),
    "tanh": nn.Tanh,
    "elu": lambda: nn.ELU(0.7),
    "selu": nn.SELU,
    "relu6": nn.ReLU6,
    "clamp": lambda: Apply(lambda x: x.clamp(-0.5, 0.7)),
    "batch norm": lambda: nn.Sequential(conv(), nn.BatchNorm2d(WIDTH)),
    "instance norm": lambda: nn.InstanceNorm2d(WIDTH, affine=True),
    "layer norm": lambda: ChannelNorm(WIDTH),
    "channels last": lambda: LastNorm(WIDTH),
    "gate": lambda: Gate(WIDTH),
    "sigmoid gate": lambda: Gate(WIDTH, sigmoid=True),
    "squeeze": lambda: Squeeze(WIDTH),
    "spatial": Spatial,
    "contrast": Contrast,
    "shuffled channels": lambda: Apply(shuffled),
    "residual": lambda: Residual(conv(), nn.LeakyReLU(0.1), conv(), scale=0.2),
    "arithmetic": lambda: Apply(lambda x: 1.5 - (2 * x + 0.25) / 3),
    "quotient": lambda: Apply(lambda x: x / (1 + x.abs())),
    "power": lambda: Apply(lambda x: (x.abs() + 0.1) ** 0.7),
    "extremes": lambda: Apply(lambda x: torch.maximum(x, 0.1 - x)),
    "max pool": lambda: nn.MaxPool2d(3, 1, 1),
    "mean pool": lambda: nn.AvgPool2d(3, 1, 1),
    "max pooled": lambda: Down(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)),
    "max pooled by 4": lambda: Down(nn.MaxPool2d(4), nn.Upsample(scale_factor=4)),
    "mean pooled": lambda: Down(nn.AvgPool2d(2), up(2, 0)),
    "strided": lambda: Down(conv(stride=2), up(4, 1)),
    "strided by 4": lambda: Down(conv(kernel=4, stride=2, padding=1), up(3, 1, 1)),
    "bilinear": lambda: Down(
        conv(kernel=2, stride=2, padding=0), nn.Upsample(scale_factor=2, mode="bilinear")
    ),
    "unshuffled": lambda: Down(
        nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * WIDTH, 4 * WIDTH, 1)), nn.PixelShuffle(2)
    ),
    "bicubic": lambda: Down(
        nn.AvgPool2d(2), nn.Upsample(scale_factor=2, mode="bicubic", align_corners=False)
    ),
    "halved": lambda: Down(
        Apply(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)),
        nn.Upsample(scale_factor=2, mode="nearest"),
    ),
    "ConvNeXt": ConvNeXt,
    "NAFNet": NAF,
}  # fmt: skip


def network(*names: str, scale: int = 2, seed: int = 0) -> nn.Module:
    """A stem, modules of these names, and a pixel shuffle."""
    torch.manual_seed(seed)
    head = nn.Conv2d(WIDTH, 3 * scale**2, 3, padding=1)
    nn.init.constant_(head.bias, 0.5)  # results that are no black picture
    layers = [nn.Conv2d(3, WIDTH, 3, padding=1), *(MODULES[name]() for name in names)]
    made = nn.Sequential(*layers, head, nn.PixelShuffle(scale))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return made.eval()


def drawn(seed: int, length: int = 9) -> nn.Module:
    """Modules drawn at random, one after the other."""
    rng = np.random.default_rng(seed)
    names = list(MODULES)
    return network(*(names[i] for i in rng.integers(len(names), size=length)), seed=seed)


def export(
    module: nn.Module, path: Path, opset: int = 17, size: int | None = None, channels: int = 3
) -> None:
    """As torch writes it, for any size of picture or one alone."""
    open_ = {"image": {2: "height", 3: "width"}, "picture": {2: "tall", 3: "wide"}}
    side = size or 32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.rand(1, channels, side, side),),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["image"],
            output_names=["picture"],
            dynamic_axes=None if size else open_,
        )
