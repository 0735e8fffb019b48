"""Fixtures for every test: models with random weights, and where the pictures are."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.models.generator import Generator
from imagen_fast.spec import Level, ModelSpec, preset

torch.set_num_threads(1)  # tiny tensors: threads only get in each other's way


def random_bundle(spec: ModelSpec, seed: int = 0) -> Bundle:
    """Random weights, strong enough that every block's reach shows in the output.

    The blocks that a fresh network starts near the identity (projections, ups, heads) are
    scaled up, so that a missing halo changes the picture visibly.
    """
    torch.manual_seed(seed)
    network = Generator(spec)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith("proj.weight"):
                weight.mul_(40)
            elif name.endswith("temperature"):
                weight.mul_(6)
            elif name.startswith(("decoder.ups", "heads.0")) and weight.ndim == 4:
                weight.mul_(4)
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    return Bundle(spec, tensors, {"name": f"sr-x{spec.scale}", "size": "test", "task": "sr"})


@pytest.fixture(scope="session")
def bundle_of() -> Callable[[ModelSpec], Bundle]:
    """`random_bundle`."""
    return random_bundle


@pytest.fixture(scope="session")
def tiny_bundle() -> Bundle:
    """The tiny preset at scale 2, with its reach but 32 channels, which is five times as fast."""
    spec = preset("tiny", scale=2)
    levels = tuple(dataclasses.replace(level, channels=32) for level in spec.levels)
    return random_bundle(dataclasses.replace(spec, levels=levels))


@pytest.fixture(scope="session")
def tiny_path(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_bundle` as a file."""
    path = tmp_path_factory.mktemp("models") / "sr-x2-test.safetensors"
    save_bundle(tiny_bundle, path)
    return path


@pytest.fixture(scope="session")
def small_bundle() -> Bundle:
    """One level, one block, scale 2: for tests that only need some network."""
    return random_bundle(ModelSpec(scale=2, levels=(Level(32, convs=1),)))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of pictures; skips where it is absent."""
    folder = Path(os.environ.get("IMAGEN_FAST_DATA", Path(__file__).parents[2] / "shared/data"))
    if not folder.is_dir():
        pytest.skip(f"no pictures at {folder}: set IMAGEN_FAST_DATA")
    return folder
