"""Operations that only scale and add, and what others add: what rules that fold them ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from imagen_fast.graph.operation import Operation
from imagen_fast.graph.rewriting import Rewriting

SAME = 2.0**-22  # by how much a factor of floats differs from 1 that is to be 1


def is_plain(settings: Mapping[str, Any]) -> bool:
    """Whether an operation's result goes through no function."""
    return bool(settings["activation"] == "none")


def affine(net: Rewriting, x: Operation | None) -> tuple[str, Any, Any] | None:
    """Input, factor and summand, a number or one for each channel, of what only scales and adds."""
    if x is None or len(x.inputs) != 1:
        return None
    if x.kind == "sum":
        a = net.settings(x)
        return (x.inputs[0], a["scale"], a["offset"]) if is_plain(a) else None
    if x.kind == "convolution":
        a = net.settings(x)
        if a["depthwise"] and a["kernel"] == a["stride"] == 1 and is_plain(a):
            weight, bias = net.tensor(x, "weight"), net.tensor(x, "bias")
            assert weight is not None
            scale = a["scale"] * weight.ravel()
            return x.inputs[0], scale, 0.0 if bias is None else a["scale"] * bias
    return None


def added_by(net: Rewriting, x: Operation, scale: Any) -> tuple[list[str], Any] | None:
    """What an operation adds, of whose inputs these are all but one, times a factor.

    Returns:
        The values, each the factor times one that is added, and the summand that is to be added to
        them; None where such values are not there.
    """
    names, summand = [], 0.0
    for name in x.inputs[1:]:
        found = affine(net, net.maker(name, once=False))
        if np.all(scale == 1):
            names.append(name)
        elif found is not None and np.allclose(scale * found[1], 1, rtol=0, atol=SAME):
            names.append(found[0])
            summand = summand + scale * found[2]
        else:
            return None
    return names, summand
