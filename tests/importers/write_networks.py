"""Writes networks with random weights to time: python tests/importers/write_networks.py FOLDER

As ONNX files, and as state dictionaries where the architecture is one that is known by its names.
`benchmarks/peers.py` runs them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import networks
import torch
from checkpoints import RRDB, Branches, Compact, Span
from safetensors.torch import save_file
from torch import nn


def of_blocks(channels: int, blocks: list[nn.Module]) -> nn.Module:
    """Blocks between two convolutions, enlarging four times."""
    first, last = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 48, 3, padding=1)
    return nn.Sequential(first, *blocks, last, nn.PixelShuffle(4))


def main() -> None:
    torch.manual_seed(0)
    made = {
        "compact-64": Compact(64, 16),
        "span-48": Span(48, scale=4),
        "rrdb-x4": RRDB(64, 32, blocks=23),
        "rrdb3-x4": RRDB(64, 32, blocks=3),
        "convnext-48": of_blocks(48, [networks.ConvNeXt(48) for _ in range(6)]),
        "nafnet-32": of_blocks(32, [networks.NAF(32) for _ in range(6)]),
    }
    folder = Path(sys.argv[1])
    for name, module in made.items():
        networks.export(module.eval(), folder / f"{name}.onnx")
        if not isinstance(module, nn.Sequential):
            save_file(module.state_dict(), folder / f"{name}.safetensors")
    for module in made["span-48"].modules():  # as it is run, which no runtime makes of it but ours
        if isinstance(module, Branches):
            module.merge()
    networks.export(made["span-48"], folder / "span-48-merged.onnx")


if __name__ == "__main__":
    main()
