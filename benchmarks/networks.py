"""The networks that runtimes are compared on, as files that they read.

- `sr-x4-tiny`: the shipped weights;
- `iso`: one level of 64 channels, 8 times one convolution and one attention, random weights: what
  attention costs a runtime;
- `span`, `compact`: what a user in a hurry takes instead (SPAN with 48 channels, SRVGG with 16
  convolutions of 64), from spandrel, with random weights, which cost the same time as trained ones.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from imagen_fast import catalogue
from imagen_fast.bundle import Bundle, load_bundle, save_bundle
from imagen_fast.models.build import build
from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec

ISO = ModelSpec(scale=4, levels=(Level(64, depth=4, convs=1),))
RIVALS = {
    "span": ("SPAN.__arch.span", "SPAN", {"num_in_ch": 3, "num_out_ch": 3}),
    "compact": ("Compact.__arch.SRVGG", "SRVGGNetCompact", {}),
}


def bundle(name: str, folder: Path) -> Path:
    """The file of one of our own networks."""
    if name != "iso":
        return catalogue.resolve(name)
    path = folder / "iso.safetensors"
    if not path.exists():
        torch.manual_seed(0)
        tensors = {key: x.numpy() for key, x in Generator(ISO).state_dict().items()}
        save_bundle(Bundle(ISO, tensors, {"name": "iso"}), path)
    return path


def network(name: str, folder: Path) -> nn.Module:
    """Any of the networks in PyTorch: (N, 3, H, W) → (N, 3, 4·H, 4·W)."""
    if name not in RIVALS:
        return build(load_bundle(bundle(name, folder)))
    torch.manual_seed(0)
    module, kind, arguments = RIVALS[name]
    made: nn.Module = getattr(spandrel(module), kind)(**arguments)
    return made.eval()


def spandrel(module: str) -> ModuleType:
    """An architecture's module; spandrel's own __init__ asks for torchvision for others' sake."""
    if "spandrel" not in sys.modules:
        spec = find_spec("spandrel")
        assert spec is not None
        package = ModuleType("spandrel")
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["spandrel"] = package
    return import_module(f"spandrel.architectures.{module}")


def onnx(name: str, side: int, folder: Path) -> Path:
    """The network for a picture of this side, as other runtimes read it."""
    path = folder / f"{name}-{side}.onnx"
    if not path.exists():
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            x = torch.rand(1, 3, side, side)
            torch.onnx.export(
                network(name, folder), (x,), str(path), dynamo=False, opset_version=17
            )
    return path


def truth(name: str, image: np.ndarray, folder: Path) -> np.ndarray:
    """(1, H, W, 3) → (1, 4·H, 4·W, 3), clamped, in float64."""
    with torch.inference_mode():
        y = network(name, folder).double()(torch.from_numpy(image).double().permute(0, 3, 1, 2))
    clamped: np.ndarray = y.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    return clamped
