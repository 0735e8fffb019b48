"""Networks that people use for the same task, from spandrel, with random weights.

Random weights cost the time of trained ones. What the trained ones reach is published, and stands
here with its source.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from imagen_fast.extras import install

if TYPE_CHECKING:
    from torch import nn

SWINIR_LIGHT = {
    **{"window_size": 8, "img_range": 1.0, "embed_dim": 60, "mlp_ratio": 2},
    **{"depths": [6] * 4, "num_heads": [6] * 4, "upsampler": "pixelshuffledirect"},
}


@dataclass(frozen=True)
class PeerNetwork:
    """A network of somebody else's.

    Attributes:
        title: as its authors call it.
        module, kind: of spandrel's architectures, and the class in it.
        scale_argument: what the class calls how many times it enlarges.
        set5: PSNR in dB on Set5 as published, by scale; empty if none is.
        source: where.
    """

    title: str
    module: str
    kind: str
    scale_argument: str
    set5: dict[int, float]
    source: str
    arguments: dict[str, Any] = field(default_factory=dict)


PEER_NETWORKS = {
    "span": PeerNetwork(
        *("SPAN, 48 channels", "SPAN.__arch.span", "SPAN", "upscale", {4: 32.20}),
        source="Wan et al. 2023, arXiv:2311.12770",
        arguments={"num_in_ch": 3, "num_out_ch": 3},
    ),
    "compact": PeerNetwork(
        *("Compact (SRVGG, 64 × 16)", "Compact.__arch.SRVGG", "SRVGGNetCompact", "upscale", {}),
        source="Real-ESRGAN's small network; no PSNR published",
    ),
    "safmn": PeerNetwork(
        *("SAFMN, 240K", "SAFMN.__arch.safmn", "SAFMN", "upscaling_factor"),
        set5={2: 38.00, 4: 32.18},
        source="Sun et al. 2023, arXiv:2302.13800",
        arguments={"dim": 36},
    ),
    "swinir-light": PeerNetwork(
        *("SwinIR-light", "SwinIR.__arch.SwinIR", "SwinIR", "upscale"),
        set5={2: 38.14, 4: 32.44},
        source="Liang et al. 2021, arXiv:2108.10257",
        arguments=SWINIR_LIGHT,
    ),
    "rrdb": PeerNetwork(
        *("RRDB (Real-ESRGAN)", "ESRGAN.__arch.RRDB", "RRDBNet", "scale", {4: 32.73}),
        source="Wang et al. 2018, arXiv:1809.00219, trained for PSNR",
    ),
}
# On Set5 by scale, of networks that are not timed here. Sources: the papers, by way of SAFMN's.
PUBLISHED = {
    2: {"FSRCNN": 37.00, "EDSR-baseline": 37.99},
    4: {"FSRCNN": 30.71, "EDSR-baseline": 32.09},
}


def missing() -> str | None:
    """What is not installed for them; None if nothing."""
    for library, extra in (("torch", "torch"), ("spandrel", "bench")):
        if find_spec(library) is None:
            return f"{library} is not installed; {install(extra)}"
    return None


def is_peer(network: str) -> bool:
    """Whether `network` is `name@scale` of `PEER_NETWORKS`, and no bundle's path."""
    return network.partition("@")[0] in PEER_NETWORKS


def build(name: str) -> nn.Module:
    """`name@scale` of `PEER_NETWORKS`, or a bundle's path → (N, 3, H, W) → (N, 3, s·H, s·W)."""
    import torch

    peer, _, scale = name.partition("@")
    if not is_peer(name):
        from imagen_fast.bundle import load_bundle
        from imagen_fast.models.build import build as own

        return own(load_bundle(Path(name)))
    torch.manual_seed(0)
    found = PEER_NETWORKS[peer]
    kind = getattr(_spandrel(found.module), found.kind)
    network: nn.Module = kind(**found.arguments, **{found.scale_argument: int(scale)})
    return network.requires_grad_(False).eval()


def _spandrel(module: str) -> ModuleType:
    """An architecture's module; spandrel's own __init__ asks for torchvision for others' sake."""
    if "spandrel" not in sys.modules:
        spec = find_spec("spandrel")
        assert spec is not None
        package = ModuleType("spandrel")
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations or ())
        sys.modules["spandrel"] = package
    return import_module(f"spandrel.architectures.{module}")
