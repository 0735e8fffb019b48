"""Weights of a network in one with more channels, which begins by computing the same."""

from __future__ import annotations

from fnmatch import fnmatch

import torch
from torch import Tensor


def widened(name: str, found: Tensor, own: Tensor) -> Tensor | None:
    """The tensor `found` of a narrower network, in the place of a wider one's `own`.

    Channels that both have are computed from these alone, as before; those that only the wider
    network has keep what `own` has for them, so that there is something to learn from at once
    (Net2Net, Chen et al. 2016, arXiv:1511.05641, with zeros in place of copies).

    Args:
        name: the tensor's name in the state dictionary of a `Generator`.
        found, own: of the same rank.

    Returns None where `found` does not fit into `own`.
    """
    if found.ndim != own.ndim or any(a > b for a, b in zip(found.shape, own.shape, strict=True)):
        return None
    of_pixels = name.startswith("heads.") or name.endswith(".position")  # by row
    if of_pixels and len(found) != len(own):
        return None
    if name.endswith(".kv.weight"):  # keys above values
        halves = zip(found.chunk(2), own.chunk(2), strict=True)
        return torch.cat([_placed(*half, outputs=0) for half in halves])
    # (outputs, inputs, …), but transposed convolutions (inputs, outputs, …)
    return _placed(found, own, outputs=1 if fnmatch(name, "*.ups.*.conv.weight") else 0)


def _placed(found: Tensor, own: Tensor, outputs: int) -> Tensor:
    """`own`, but that `found`'s outputs, along that axis, read what `found` reads alone."""
    result = own.clone()
    result.narrow(outputs, 0, found.shape[outputs]).zero_()
    result[tuple(map(slice, found.shape))] = found
    return result
