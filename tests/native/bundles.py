"""Small models with random weights for the C++ tests: python bundles.py FOLDER."""

import sys
from pathlib import Path

import torch

from imagen_fast.bundle import Bundle, save_bundle
from imagen_fast.models.generator import Generator
from imagen_fast.models.listing import ListingGenerator
from imagen_fast.spec import Level, ModelSpec

SPECS = {
    "windows": ModelSpec(scale=2, levels=(Level(20, depth=2, convs=1),), head_dim=5, window=6),
    "levels": ModelSpec(
        scale=3, levels=(Level(8, convs=1), Level(16, convs=0, attention="global")), head_dim=8,
        latent_channels=2,
    ),
    "listing": ModelSpec(
        architecture="listing", scale=1, levels=(Level(24, 1, 0, "global"),), head_dim=24
    ),
}  # fmt: skip


def main() -> None:
    """Write one file for each of `SPECS`."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in SPECS.items():
        torch.manual_seed(0)
        network = (ListingGenerator if spec.architecture == "listing" else Generator)(spec)
        tensors = {key: value.numpy() for key, value in network.state_dict().items()}
        save_bundle(Bundle(spec, tensors, {"name": name}), folder / f"{name}.safetensors")


if __name__ == "__main__":
    main()
