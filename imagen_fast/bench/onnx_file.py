"""A network as the ONNX file that other runtimes read."""

from __future__ import annotations

import warnings
from pathlib import Path

from imagen_fast.bench import peer_networks


def write(network: str, shape: tuple[int, int, int], path: Path) -> None:
    """For inputs (N, H, W) of exactly this shape, which every runtime handles best."""
    import torch

    n, h, w = shape
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        x = torch.rand(n, 3, h, w)
        built = peer_networks.build(network)
        torch.onnx.export(built, (x,), str(path), dynamo=False, opset_version=17)
