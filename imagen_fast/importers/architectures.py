"""Architectures that are known by the names of their weights, as graphs.

Compact (SRVGGNetCompact of Real-ESRGAN, Wang et al. 2021), ESRGAN (RRDBNet, Wang et al. 2018, its
old and new names; Real-ESRGAN's with the picture unshuffled) and SPAN (Wan et al. 2024).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np

from imagen_fast.errors import OperationError
from imagen_fast.importers.assembly import Array, Assembly
from imagen_fast.importers.checkpoint_file import State
from imagen_fast.importers.fitting import Foreign

MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, which SPAN subtracts


class Reader:
    """A state dictionary, each of whose entries is to be read."""

    def __init__(self, a: Assembly, state: State) -> None:
        self.a, self.state = a, state

    def tensor(self, name: str, axes: int) -> Array:
        """One of the weights. Raises OperationError: missing, or of other dimensions."""
        x = self.state.get(name)
        if x is None or x.ndim != axes:
            problem = "is missing" if x is None else f"is of shape {x.shape}"
            raise OperationError(f"its tensor {name!r} {problem}")
        return x

    def conv(self, name: str, x: str, slope: float = 1.0, border: int | None = None) -> str:
        """A convolution with leaky ReLU unless its slope is 1.

        Args:
            border: zeros around its picture; None: as many as keep the size.
        """
        weight, bias = self.tensor(f"{name}.weight", 4), self.state.get(f"{name}.bias")
        border = weight.shape[2] // 2 if border is None else border
        x = self.a.convolution(x, weight, bias, pads=(border,) * 4)
        return x if slope == 1.0 else self.a.function(x, "leaky_relu", slope=slope)


def _factor(channels: int) -> int:
    """By how much a shuffle into three channels enlarges."""
    factor = math.isqrt(channels // 3)
    if 3 * factor**2 != channels:
        raise OperationError(f"{channels} channels at the end; expected 3 times a square")
    return factor


def _compact(r: Reader) -> str:
    a = r.a
    x = a.start
    last = max(
        int(name.split(".")[1]) for name in r.state if re.fullmatch(r"body\.\d+\.weight", name)
    )
    for place in range(0, last, 2):
        x = r.conv(f"body.{place}", x)
        slopes = r.tensor(f"body.{place + 1}.weight", 1)
        x = a.add("sum", x, activation="prelu", tensors={"slopes": slopes})
    x = r.conv(f"body.{last}", x)
    factor = _factor(a.channels(x))
    x = a.add("pixel_shuffle", x, factor=factor)
    return a.total([x, a.add("nearest", a.start, factor=factor)])


# ESRGAN's names: those of Real-ESRGAN, and what earlier files have in their place.
def _renamed(state: State) -> State:
    """With the names of Real-ESRGAN."""
    blocks = [m for name in state if (m := re.fullmatch(r"model\.1\.sub\.(\d+)\.weight", name))]
    if blocks:
        trunk = blocks[0][1]
        rows = sorted(
            int(m[1]) for name in state if (m := re.fullmatch(r"model\.(\d+)\.weight", name))
        )
        *ups, high, last = rows[1:]
        fixed = {"model.0": "conv_first", f"model.1.sub.{trunk}": "conv_body"}
        fixed |= {f"model.{row}": f"conv_up{i + 1}" for i, row in enumerate(ups)}
        fixed |= {f"model.{high}": "conv_hr", f"model.{last}": "conv_last"}
    else:
        fixed = {"trunk_conv": "conv_body", "HRconv": "conv_hr"}
        fixed |= {f"upconv{i}": f"conv_up{i}" for i in (1, 2, 3)}
    renamed = {}
    for name, x in state.items():
        module, _, leaf = name.rpartition(".")
        module = re.sub(r"^(model\.1\.sub|RRDB_trunk)\.(\d+)\.RDB", r"body.\2.rdb", module)
        module = re.sub(r"(rdb\d\.conv\d)\.0$", r"\1", module)
        renamed[f"{fixed.get(module, module)}.{leaf}"] = x
    return renamed


def _esrgan(r: Reader) -> str:
    a = r.a
    r.state = _renamed(r.state)
    folded = r.tensor("conv_first.weight", 4).shape[1]
    x = a.start
    if folded != 3:
        x = a.add("pixel_unshuffle", x, factor=_factor(folded))
    first = x = r.conv("conv_first", x)
    blocks = {int(m[1]) for name in r.state if (m := re.match(r"body\.(\d+)\.rdb", name))}
    for block in range(len(blocks)):
        start = x
        for part in (1, 2, 3):
            dense = [x]
            for step in (1, 2, 3, 4):
                joined = a.concatenate(list(dense))
                dense.append(r.conv(f"body.{block}.rdb{part}.conv{step}", joined, 0.2))
            y = r.conv(f"body.{block}.rdb{part}.conv5", a.concatenate(dense))
            x = a.total([a.affine(y, 0.2, 0.0), x])
        x = a.total([a.affine(x, 0.2, 0.0), start])
    x = a.total([r.conv("conv_body", x), first])
    ups = sum(1 for name in r.state if re.fullmatch(r"conv_up\d\.weight", name))
    for up in range(1, ups + 1):
        x = r.conv(f"conv_up{up}", a.add("nearest", x, factor=2), 0.2)
    return r.conv("conv_last", r.conv("conv_hr", x, 0.2))


def _span(r: Reader) -> str:
    a = r.a
    x = a.start
    if "no_norm" not in r.state:
        mean = np.array(MEAN)
        x = a.affine(x, np.full(3, 255.0), -255.0 * mean)

    def conv(name: str, y: str) -> str:
        return _branches(r, name, y)

    def silu(y: str) -> str:
        return a.function(y, "silu")

    start = x = conv("conv_1", x)
    first = out = x
    count = sum(
        1 for name in r.state if re.fullmatch(r"block_\d+\.c1_r\..*sk\.weight", name)
    ) or sum(1 for name in r.state if re.fullmatch(r"block_\d+\.c1_r\.eval_conv\.weight", name))
    for block in range(1, count + 1):
        first = silu(conv(f"block_{block}.c1_r", x))
        y = conv(f"block_{block}.c3_r", silu(conv(f"block_{block}.c2_r", first)))
        gate = a.affine(a.function(y, "sigmoid"), 1.0, -0.5)
        x = a.add("product", a.total([y, x]), gate)
        out = x if block == 1 else out
    joined = a.concatenate([start, conv("conv_2", x), out, first])
    x = r.conv("upsampler.0", r.conv("conv_cat", joined))
    return a.add("pixel_shuffle", x, factor=_factor(a.channels(x)))


def _branches(r: Reader, name: str, x: str) -> str:
    """What SPAN trains in the place of a convolution: 1×1 · 3×3 · 1×1, and 1×1 beside."""
    if f"{name}.sk.weight" not in r.state:
        return r.conv(f"{name}.eval_conv", x)
    y = r.a.pad(x, 1, "zero")
    for i in range(3):
        y = r.conv(f"{name}.conv.{i}", y, border=0)
    return r.a.total([y, r.conv(f"{name}.sk", x)])


ARCHITECTURES: dict[str, tuple[re.Pattern[str], Callable[[Reader], str]]] = {
    "Compact": (re.compile(r"body\.1\.weight"), _compact),
    "ESRGAN": (
        re.compile(
            r"(body\.0\.rdb1|RRDB_trunk\.0\.RDB1|model\.1\.sub\.0\.RDB1)\.conv1(\.0)?\.weight"
        ),
        _esrgan,
    ),
    "SPAN": (re.compile(r"block_1\.c1_r\.(sk|eval_conv)\.weight"), _span),
}


def recognised(names: list[str]) -> str | None:
    """Which of `ARCHITECTURES` has weights of these names; None for none."""
    for architecture, (sign, _) in ARCHITECTURES.items():
        if any(sign.fullmatch(name) for name in names):
            return architecture
    return None


def network(architecture: str, state: State) -> Foreign:
    """The network of one of `ARCHITECTURES` with these weights."""
    _, draw = ARCHITECTURES[architecture]
    return Foreign(
        lambda a, size: draw(Reader(a, state)), 3, full=1, facts={"format": architecture}
    )
