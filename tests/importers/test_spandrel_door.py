"""State dictionaries through spandrel, for which a double stands that knows one network."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from running import decibels, defined
from torch import Tensor, nn

from imagen_fast import importers
from imagen_fast.errors import ImagenError

pytest.importorskip("onnx", reason="the extra onnx is not installed")


class Weighed(nn.Module):
    """With an argument that callers leave out (Real-CUGAN's manner)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor, alpha: float = 1) -> Tensor:
        return F.pixel_shuffle(self.conv(x) * alpha, 2)


class OfItsSize(Weighed):
    """Which torch's exporter does not export."""

    def forward(self, x: Tensor, alpha: float = 1) -> Tensor:
        pooled = F.adaptive_max_pool2d(x, (x.shape[2] // 2, x.shape[3] // 2))
        return super().forward(F.interpolate(pooled, scale_factor=2), alpha)


class Attending(Weighed):
    """With an operation that the engine lacks."""

    def forward(self, x: Tensor, alpha: float = 1) -> Tensor:
        return super().forward(torch.softmax(x, 2), alpha)


class BySize(Weighed):
    """Computed with the picture's height."""

    def forward(self, x: Tensor, alpha: float = 1) -> Tensor:
        return super().forward(x * (x.shape[2] / 100.0) + F.relu(x), alpha)


def written(network: nn.Module, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Its state dictionary, which the double knows."""

    class ModelLoader:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def load_from_state_dict(self, state: dict[str, Tensor]) -> SimpleNamespace:
            network.load_state_dict(state)
            about = SimpleNamespace(name="Weighed")
            return SimpleNamespace(model=network, input_channels=3, architecture=about)

    double = ModuleType("spandrel")
    double.__spec__ = ModuleSpec("spandrel", None)
    double.ModelLoader = ModelLoader  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "spandrel", double)
    torch.save(network.state_dict(), folder / "a.pth")
    return folder / "a.pth"


def test_what_spandrel_knows_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Weighed()
    bundle = importers.load(written(network, tmp_path, monkeypatch))
    assert "Weighed, by spandrel" in bundle.metadata["imported"]
    image = torch.rand(1, 3, 21, 30)
    with torch.no_grad():
        expected = network(image)
    assert decibels(defined(bundle, image), expected) >= 100


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (OfItsSize, "not read through spandrel"),
        (Attending, r"\(Softmax, .*the engine has no such operation"),
        (BySize, "for pictures of other sizes"),
    ],
)
def test_what_fails_is_said_in_one_line_of_the_file_itself(
    kind: type[nn.Module],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = written(kind(), tmp_path, monkeypatch)
    with pytest.raises(ImagenError, match=problem) as caught:
        importers.load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert said.count(".pth") == 1
    assert "network.onnx" not in said
    assert "\n" not in said
    assert capfd.readouterr() == ("", "")
