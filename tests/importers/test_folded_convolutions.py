"""Convolutions after and beside convolutions: one where it is exact and less to compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from checkpoints import Branches, Span
from networks import Apply
from numpy.typing import NDArray
from reference import FLOORS, rms
from running import defined
from safetensors.torch import save_file
from torch import Tensor, nn

from imagen_fast import importers
from imagen_fast.backends.native import Native
from imagen_fast.bundle import Bundle
from imagen_fast.graph.fusing import fused
from imagen_fast.importers.assembly import Assembly

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

C = 12


class Sum(nn.Module):
    """Of functions of one value, the first `minus` of them subtracted."""

    def __init__(self, *terms: nn.Module, minus: int = 0) -> None:
        super().__init__()
        self.terms, self.minus = nn.ModuleList(terms), minus

    def forward(self, x: Tensor) -> Tensor:
        total = 0.0
        for place, term in enumerate(self.terms):
            total = total - term(x) if place < self.minus else total + term(x)
        return total


class Twice(nn.Module):
    """Something read by two convolutions with a function between them."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.one, self.other = conv(C, 48), conv(48), conv(48)

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(x)
        return self.one(y) * torch.sigmoid(self.other(y))


def conv(inner: int = C, outer: int = C, kernel: Any = 1, **how: object) -> nn.Conv2d:
    """A convolution that keeps the size, or halves it."""
    how = {"padding": "same" if isinstance(kernel, tuple) else kernel // 2, **how}
    return nn.Conv2d(inner, outer, kernel, **how)  # type: ignore[arg-type]


def depthwise(kernel: int, channels: int = C, **how: object) -> nn.Conv2d:
    return conv(channels, channels, kernel, groups=channels, **how)


def bordered(margin: int, *layers: nn.Module) -> nn.Sequential:
    """Zeros around all of it at once."""
    return nn.Sequential(nn.ZeroPad2d(margin), *layers)


def doubled(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Upsample(scale_factor=2))


ONE: dict[str, Callable[[], nn.Module]] = {
    "SPAN": lambda: Branches(C, C),
    "RepVGG": lambda: Sum(conv(kernel=3), conv(), nn.Identity()),
    "the identity first": lambda: Sum(nn.Identity(), conv(), conv(kernel=3)),
    "batch norms": lambda: Sum(
        nn.Sequential(conv(kernel=3, bias=False), nn.BatchNorm2d(C)),
        nn.Sequential(conv(bias=False), nn.BatchNorm2d(C)),
        nn.BatchNorm2d(C),
    ),
    "differences": lambda: Sum(nn.Sequential(conv(C, 24, 3), conv(24)), conv(), minus=1),
    "edges": lambda: Sum(
        conv(kernel=3), bordered(1, conv(), depthwise(3, padding=0)), nn.Identity()
    ),
    "rows and columns": lambda: Sum(conv(kernel=3), conv(kernel=(1, 3)), conv(kernel=(3, 1))),
    "1×1 without a bias · 3×3": lambda: nn.Sequential(conv(C, 24, bias=False), conv(24, C, 3)),
    "1×1 · 3×3 mirrored": lambda: nn.Sequential(
        conv(C, 24), conv(24, C, 3, padding_mode="reflect")
    ),
    "1×1 · 3×3 repeated": lambda: nn.Sequential(
        conv(C, 24), conv(24, C, 3, padding_mode="replicate")
    ),
    "3×3 · 1×1": lambda: nn.Sequential(conv(C, 48, 3), conv(48)),
    "5×5 · 1×1 · 1×1": lambda: nn.Sequential(conv(C, 20, 5), conv(20, 30), conv(30)),
    "3×3 · 3×3": lambda: bordered(2, conv(C, 48, 3, padding=0), conv(48, C, 3, padding=0)),
    "scaled": lambda: nn.Sequential(
        conv(C, 48, 3), Apply(lambda x: 0.3 * x - 0.1), conv(48), Apply(lambda x: 1 - 2 * x)
    ),
    "depthwise": lambda: Sum(depthwise(5), nn.Sequential(depthwise(3), depthwise(1)), depthwise(1)),
    "halved": lambda: doubled(Sum(conv(kernel=3, stride=2), conv(stride=2))),
    "halved at the end": lambda: doubled(conv(C, 24, 3), conv(24, stride=2)),
    "halved in the middle": lambda: doubled(conv(C, 48, bias=False), conv(48, C, 3, stride=2)),
}
MORE: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "zeros around a bias": (2, lambda: nn.Sequential(conv(C, 24), conv(24, C, 3))),
    "zeros around a wide one": (2, lambda: nn.Sequential(conv(C, 48, 3), conv(48, C, 3))),
    "zeros around part of it": (
        2, lambda: bordered(1, conv(C, 48, 3, padding=0), conv(48, C, 3)),
    ),
    "a function between": (2, lambda: nn.Sequential(conv(C, 48, 3), nn.ReLU(), conv(48))),
    "a function of one of two": (2, lambda: Sum(nn.Sequential(conv(), nn.ReLU()), conv(kernel=3))),
    "read twice": (3, Twice),
    "narrow between": (2, lambda: nn.Sequential(conv(C, 4), conv(4))),
    "separable": (2, lambda: nn.Sequential(depthwise(3), conv())),
    "dense beside depthwise": (2, lambda: Sum(depthwise(5), conv())),
    "other borders": (2, lambda: Sum(conv(kernel=3), conv(kernel=3, padding_mode="reflect"))),
    "of other values": (2, lambda: Sum(conv(), nn.Sequential(nn.Sigmoid(), conv(kernel=3)))),
    "halved twice": (
        2, lambda: doubled(doubled(conv(C, 48, stride=2), conv(48, stride=2))),
    ),
}  # fmt: skip


def drawn(rng: np.random.Generator, deep: int = 3) -> nn.Module:
    """A composition of convolutions, after and beside each other, drawn at random."""
    kind = rng.integers(6) if deep else 5
    if kind < 2:
        parts = [drawn(rng, deep - 1) for _ in range(rng.integers(2, 4))]
        return Sum(*parts, *([nn.Identity()] if rng.integers(2) else []))
    if kind < 4:
        return nn.Sequential(*(drawn(rng, deep - 1) for _ in range(rng.integers(2, 4))))
    kernel, bias = int(rng.choice([1, 1, 3, 5])), bool(rng.integers(2))
    if kind == 4:
        border, middle = kernel // 2, int(rng.choice([C, 30]))
        return bordered(border, conv(C, middle, bias=bias), conv(middle, C, kernel, padding=0))
    mode = str(rng.choice(["zeros", "zeros", "reflect", "replicate"]))
    groups = int(rng.choice([1, C]))
    return conv(kernel=kernel, bias=bias, groups=groups, padding_mode=mode)


def network(block: nn.Module, seed: int = 0) -> nn.Module:
    """A block between functions, so that nothing else is beside its convolutions."""
    torch.manual_seed(seed)
    first, last = nn.Conv2d(3, C, 3, padding=1), nn.Conv2d(C, 12, 3, padding=1)
    nn.init.constant_(last.bias, 0.5)
    made = nn.Sequential(first, nn.Tanh(), block, nn.Tanh(), last, nn.PixelShuffle(2))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return made.eval()


def convolutions(module: nn.Module, path: Path, size: tuple[int, int]) -> int:
    """How many are left; checks that they compute what ONNX Runtime does, the border too."""
    networks.export(module, path)
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": image.numpy()})
    bundle = importers.load(path)
    found = defined(bundle, image).numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    return Counter(x.kind for x in bundle.graph.operations)["convolution"]


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("size", [(23, 17), (5, 6)])
def test_they_are_one(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    if "halved" in name:  # what is enlarged again has an even side
        size = (22, 6)
    assert convolutions(network(ONE[name]()), tmp_path / "a.onnx", size) == 2  # and the first


@pytest.mark.parametrize("name", MORE)
def test_they_stay_apart(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    count, block = MORE[name]
    assert convolutions(network(block()), tmp_path / "a.onnx", (24, 20)) == 1 + count


def test_a_sum_names_a_value_twice() -> None:
    a = Assembly(C)
    weight = np.random.default_rng(0).standard_normal((C, C, 3, 3))
    convolved = a.convolution("image", weight, pads=(1, 1, 1, 1))
    graph, tensors = fused(a.graph(a.total([convolved, "image", "image"])), a.tensors)
    assert [x.inputs for x in graph.operations] == [("image",)]
    image = torch.rand(1, C, 9, 7, dtype=torch.float64)
    expected = F.conv2d(image, torch.from_numpy(weight).float().double(), padding=1) + 2 * image
    found = defined(Bundle(graph, tensors, {}), image)
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(12))
def test_compositions_of_convolutions(seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    block = Sum(*(drawn(np.random.default_rng(10 * seed + i)) for i in range(3)))
    module = network(block, seed)
    apart = sum(isinstance(x, nn.Conv2d) for x in module.modules())
    assert convolutions(module, tmp_path / "a.onnx", (23, 17)) < apart - 1


def test_a_span_in_training_form_is_the_one_that_is_merged(tmp_path: Path) -> None:
    module = Span(8, blocks=2).eval()
    networks.export(module, tmp_path / "a.onnx")
    save_file(module.state_dict(), tmp_path / "a.safetensors")
    one, other = (importers.load(tmp_path / name) for name in ("a.onnx", "a.safetensors"))
    pairs = zip(_convolutions(one), _convolutions(other), strict=True)
    for (how, weights), (other_how, other_weights) in pairs:
        assert how == other_how
        for x, y in zip(weights, other_weights, strict=True):
            assert np.allclose(x, y, rtol=1e-6, atol=1e-6)
    image = torch.rand(1, 3, 9, 7)
    apart = module(image)
    for part in module.modules():
        if isinstance(part, Branches):
            part.merge()
    assert torch.allclose(module(image), apart, rtol=1e-4, atol=1e-4)


def _convolutions(bundle: Bundle) -> list[tuple[dict[str, object], list[NDArray[Any]]]]:
    return [
        (dict(x.attributes), [bundle.tensors[x.tensors[role]] for role in sorted(x.tensors)])
        for x in bundle.graph.operations
        if "weight" in x.tensors
    ]


def test_in_bf16_they_err_no_more_than_twice_what_pytorch_does_apart(tmp_path: Path) -> None:
    native = pytest.importorskip("imagen_fast._native", reason="the extension is not built")
    torch.manual_seed(0)
    blocks = [nn.Sequential(ONE["RepVGG"](), nn.LeakyReLU(0.2)) for _ in range(8)]
    module = network(nn.Sequential(*blocks))
    networks.export(module, tmp_path / "a.onnx")
    image = torch.rand(1, 3, 40, 52, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            theirs = module(image).double().clamp(0, 1)
        truth = module.double()(image.double()).clamp(0, 1)
    bundle = importers.load(tmp_path / "a.onnx")
    allowed = 2 * rms((theirs - truth).numpy()) + FLOORS["picture"]["bf16"] * rms(truth.numpy())
    for isa in native.available("bf16"):
        tile = image.permute(0, 2, 3, 1).contiguous().numpy()
        found = Native(bundle, precision="bf16", isa=isa).run(tile)
        print(
            rms(found - truth.permute(0, 2, 3, 1).numpy()), allowed, rms((theirs - truth).numpy())
        )
        assert rms(found - truth.permute(0, 2, 3, 1).numpy()) <= allowed, isa
