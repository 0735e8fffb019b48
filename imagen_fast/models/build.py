"""From a bundle to its network, weights in place."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from imagen_fast.bundle import Bundle
from imagen_fast.models.generator import Generator
from imagen_fast.models.plain import Plain
from imagen_fast.models.style import Stylizer
from imagen_fast.models.temporal import Temporal
from imagen_fast.spec import ModelSpec


def build(bundle: Bundle) -> nn.Module:
    """The network of a bundle: float32, on the CPU, in eval mode, no gradients.

    Nothing is allocated for the spec's sake: the graph's tensors are compared with the bundle's,
    which the network, laid out without storage, then takes over. So a file whose spec promises a
    huge network costs nothing.

    Raises:
        WeightsError: tensors are missing, unknown, or of another shape.
    """
    bundle.check_tensors()
    with torch.device("meta"):
        network = _layout(bundle.spec)
    weights = {
        name: torch.from_numpy(tensor.astype(np.float32)) for name, tensor in bundle.tensors.items()
    }
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(False).eval()


def _layout(spec: ModelSpec) -> nn.Module:
    if spec.architecture == "listing":
        from imagen_fast.models.listing import ListingGenerator

        return ListingGenerator(spec)
    if spec.architecture == "style":
        return Stylizer(spec)
    if spec.architecture == "temporal":
        return Temporal(spec)
    return Plain(spec) if spec.architecture == "plain" else Generator(spec)
