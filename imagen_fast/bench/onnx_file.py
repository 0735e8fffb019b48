"""A network as the ONNX file that other runtimes read."""

from __future__ import annotations

import warnings
from pathlib import Path

from imagen_fast.bench import peer_networks
from imagen_fast.bundle import load_bundle
from imagen_fast.export import onnx
from imagen_fast.export.options import Options


def write(network: str, shape: tuple[int, int, int], path: Path) -> None:
    """For inputs (N, H, W) of exactly this shape, which every runtime handles best.

    This project's own networks by `imagen-fast export`'s means, others by PyTorch's.
    """
    n, h, w = shape
    if not peer_networks.is_peer(network):
        fixed = (h, w) if h * w <= onnx.MOST_PIXELS else None
        path.write_bytes(onnx.export(load_bundle(Path(network)), Options(shape=fixed, batch=n)))
        return
    import torch

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        x = torch.rand(n, 3, h, w)
        built = peer_networks.build(network)
        torch.onnx.export(built, (x,), str(path), dynamo=False, opset_version=17)
