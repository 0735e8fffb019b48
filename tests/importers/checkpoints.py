"""Architectures with the names that their checkpoints have, small, to be imported."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Compact(nn.Module):
    """SRVGGNetCompact."""

    def __init__(self, features: int = 8, convs: int = 2, scale: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, 1, 1), nn.PReLU(features)]
        for _ in range(convs):
            layers += [nn.Conv2d(features, features, 3, 1, 1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * scale**2, 3, 1, 1))
        self.body, self.scale = nn.Sequential(*layers), scale
        for layer in layers:
            if isinstance(layer, nn.PReLU):
                nn.init.uniform_(layer.weight, 0, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_shuffle(self.body(x), self.scale)
        return y + F.interpolate(x, scale_factor=self.scale, mode="nearest")


class Dense(nn.Module):
    """A residual dense block."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        for step in range(1, 6):
            out = growth if step < 5 else features
            setattr(self, f"conv{step}", nn.Conv2d(features + (step - 1) * growth, out, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for step in range(1, 5):
            conv = getattr(self, f"conv{step}")
            values.append(F.leaky_relu(conv(torch.cat(values, 1)), 0.2))
        return self.conv5(torch.cat(values, 1)) * 0.2 + x


class InDense(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class RRDB(nn.Module):
    """RRDBNet, with the picture unshuffled for scales below 4."""

    def __init__(self, features: int = 8, growth: int = 4, blocks: int = 2, scale: int = 4) -> None:
        super().__init__()
        self.fold = 4 // scale
        self.conv_first = nn.Conv2d(3 * self.fold**2, features, 3, 1, 1)
        self.body = nn.Sequential(*(InDense(features, growth) for _ in range(blocks)))
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
            setattr(self, name, nn.Conv2d(features, features, 3, 1, 1))
        self.conv_last = nn.Conv2d(features, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_first(F.pixel_unshuffle(x, self.fold) if self.fold > 1 else x)
        x = x + self.conv_body(self.body(x))
        for up in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))


def old_names(state: dict[str, Tensor], blocks: int = 2) -> dict[str, Tensor]:
    """As ESRGAN's own release has them."""
    fixed = {
        "conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}", "conv_up1": "model.3",
        "conv_up2": "model.6", "conv_hr": "model.8", "conv_last": "model.10",
    }  # fmt: skip
    renamed = {}
    for name, x in state.items():
        module, _, leaf = name.rpartition(".")
        if module not in fixed:
            _, block, dense, conv = module.split(".")
            fixed[module] = f"model.1.sub.{block}.{dense.upper()}.{conv}.0"
        renamed[f"{fixed[module]}.{leaf}"] = x
    return renamed


class Branches(nn.Module):
    """SPAN's convolution in training: branches that are one, which `merge` makes of them."""

    merged = False

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.sk = nn.Conv2d(inner, outer, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(inner, 2 * inner, 1),
            nn.Conv2d(2 * inner, 2 * outer, 3),
            nn.Conv2d(2 * outer, outer, 1),
        )
        self.eval_conv = nn.Conv2d(inner, outer, 3, padding=1)  # not up to date

    @torch.no_grad()
    def merge(self) -> None:
        inner = self.sk.in_channels
        bias = self.conv(torch.zeros(1, inner, 3, 3))
        taps = (
            self.conv(torch.eye(9 * inner).view(-1, inner, 3, 3)) - bias
        )  # (9 · inner, outer, 1, 1)
        weight = taps[:, :, 0, 0].T.reshape(-1, inner, 3, 3)
        weight[:, :, 1, 1] += self.sk.weight[:, :, 0, 0]
        self.eval_conv.weight.copy_(weight)
        self.eval_conv.bias.copy_(bias[0, :, 0, 0] + self.sk.bias)
        self.merged = True

    def forward(self, x: Tensor) -> Tensor:
        if self.merged:
            return self.eval_conv(x)
        return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)


class SpanBlock(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (Branches(features, features) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = F.silu(self.c1_r(x))
        y = self.c3_r(F.silu(self.c2_r(first)))
        return (y + x) * (torch.sigmoid(y) - 0.5), first


class Span(nn.Module):
    """SPAN."""

    def __init__(self, features: int = 8, blocks: int = 6, scale: int = 2) -> None:
        super().__init__()
        self.conv_1 = Branches(3, features)
        for block in range(1, blocks + 1):
            setattr(self, f"block_{block}", SpanBlock(features))
        self.conv_2 = Branches(features, features)
        self.conv_cat = nn.Conv2d(4 * features, features, 1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(features, 3 * scale**2, 3, 1, 1), nn.PixelShuffle(scale)
        )
        self.blocks = blocks

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
        start = x = self.conv_1((x - mean) * 255.0)
        outputs = []
        for block in range(1, self.blocks + 1):
            x, first = getattr(self, f"block_{block}")(x)
            outputs.append(x)
        joined = torch.cat([start, self.conv_2(x), outputs[0], first], 1)
        return self.upsampler(self.conv_cat(joined))
